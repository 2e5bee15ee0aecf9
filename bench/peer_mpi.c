/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MPI_Allreduce as a peer of `muster bench allreduce`, which starts it under mpirun:
 *
 *   peer_openmpi SOCKET
 *
 * It speaks the lines of cli/bench_rank.h over SOCKET and does what our own ranks do: the same
 * data, the same runs, the same rest in between. Built against whichever MPI its compiler brings.
 */
#include <limits.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PERIOD 977
#define SCALE 0x1p-110f
#define DOUBLINGS 220
#define WARM_UPS 3
#define PAGE_BYTES 4096

static int rank, ranks, run_max;
static float period[PERIOD];
static float *data;
static size_t count;

static void allreduce(float *vector, size_t floats)
{
    MPI_Allreduce(MPI_IN_PLACE, vector, (int)floats, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void fill(void)
{
    for (size_t at = 0; at < count; at += PERIOD) {
        size_t left = count - at;
        memcpy(data + at, period, sizeof(float) * (left < PERIOD ? left : PERIOD));
    }
}

static int verify(void)
{
    size_t wrong = 0;
    fill();
    allreduce(data, count);
    for (size_t i = 0; i < count; i++)
        wrong +=
            data[i] != SCALE * (float)(((int)(i % PERIOD) + 1) * ranks + ranks * (ranks - 1) / 2);
    return wrong == 0;
}

static double timed_run(int operations)
{
    float nothing = 0;
    fill();
    allreduce(&nothing, 1);
    double begin = MPI_Wtime();
    for (int i = 0; i < operations; i++)
        allreduce(data, count);
    return MPI_Wtime() - begin;
}

static double batch(int operations)
{
    double total = 0;
    timed_run(WARM_UPS < run_max ? WARM_UPS : run_max);
    for (int done = 0; done < operations;) {
        int run = operations - done < run_max ? operations - done : run_max;
        total += timed_run(run);
        done += run;
    }
    return total;
}

static const char *prepare(size_t bytes)
{
    free(data);
    count = bytes / sizeof(float);
    data = aligned_alloc(PAGE_BYTES, (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    if (count > INT_MAX)
        return "failed MPI counts with an int";
    if (!data)
        return "failed no memory";
    return verify() ? "ready MPI_Allreduce" : "failed the sum is wrong";
}

static void obey(const char *line, FILE *out)
{
    if (strncmp(line, "size ", 5) == 0) {
        fprintf(out, "%s\n", prepare(strtoull(line + 5, NULL, 10)));
    } else if (strncmp(line, "batch ", 6) == 0) {
        fprintf(out, "took %.0f\n", batch(atoi(line + 6)) * 1e9);
    } else {
        fprintf(out, "failed it does not know `%.40s`\n", line);
    }
    fflush(out);
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char line[512];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    run_max = ranks > 1 ? (int)(DOUBLINGS / log2(ranks)) : DOUBLINGS;
    for (int i = 0; i < PERIOD; i++)
        period[i] = SCALE * (float)(i + rank + 1);

    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", argc > 1 ? argv[1] : "");
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
        perror("peer_mpi SOCKET");
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    FILE *in = fdopen(fd, "r"), *out = fdopen(fd, "w");
    fprintf(out, "rank %d\n", rank);
    fflush(out);
    while (fgets(line, sizeof(line), in))
        obey(line, out);
    free(data);
    MPI_Finalize();
    return 0;
}
