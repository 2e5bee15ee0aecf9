/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank of bench/hosts.py, on nothing but include/muster/collectives.h:
 *
 *   bench_hosts SOCKET float32|float16|bfloat16 ALGORITHM|best STREAMS RANK ADDRESS...
 *
 * It speaks the lines of cli/bench_rank.h over SOCKET. The second word is what float32 travels as.
 */
#include "muster/collectives.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define PERIOD 977
#define SCALE 0x1p-110f
#define DOUBLINGS 220
#define WARM_UPS 3
#define PAGE_BYTES 4096
#define FIRST_ADDRESS 6 /* of the arguments */

static struct mu_group *group;
static enum mu_dtype wire;
static int rank, ranks, run_max;
static float period[PERIOD];
static float *data;
static size_t count;

/* "" or why not, for the lead. */
static const char *allreduce(float *vector, size_t floats)
{
    bool failed = mu_group_allreduce(group, vector, floats, MU_FLOAT32, MU_SUM) != MU_OK;
    return failed ? mu_group_error(group) : "";
}

static void fill(void)
{
    for (size_t at = 0; at < count; at += PERIOD) {
        size_t left = count - at;
        memcpy(data + at, period, sizeof(float) * (left < PERIOD ? left : PERIOD));
    }
}

/* Sums are exact; where they travel as a half type each step may round once more. */
static bool is_right(size_t index)
{
    float sum = SCALE * (float)(((int)(index % PERIOD) + 1) * ranks + ranks * (ranks - 1) / 2);
    float unit = wire == MU_FLOAT32 ? 0 : wire == MU_FLOAT16 ? 0x1p-11f : 0x1p-8f;
    return fabsf(data[index] - sum) <= sum * unit * (float)ranks;
}

static const char *verify(void)
{
    fill();
    const char *why = allreduce(data, count);
    for (size_t i = 0; !why[0] && i < count; i++)
        if (!is_right(i))
            why = "the sum is wrong";
    return why;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static const char *timed_run(int operations, double *ret_seconds)
{
    float nothing = 0;
    fill();
    const char *why = allreduce(&nothing, 1);
    double begin = now();
    for (int i = 0; !why[0] && i < operations; i++)
        why = allreduce(data, count);
    *ret_seconds = now() - begin;
    return why;
}

static const char *batch(int operations, double *ret_seconds)
{
    double seconds;
    const char *why = timed_run(WARM_UPS, &seconds);
    *ret_seconds = 0;
    for (int done = 0; !why[0] && done < operations; done += run_max) {
        int left = operations - done;
        why = timed_run(left < run_max ? left : run_max, &seconds);
        *ret_seconds += seconds;
    }
    return why;
}

static const char *prepare(size_t bytes)
{
    free(data);
    count = bytes / sizeof(float);
    data = aligned_alloc(PAGE_BYTES, (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    return data ? verify() : "no memory";
}

static void obey(const char *line, FILE *out)
{
    double seconds = 0;
    bool measures = strncmp(line, "batch ", 6) == 0;
    const char *why = "it does not know that";
    if (measures)
        why = batch(atoi(line + 6), &seconds);
    else if (strncmp(line, "size ", 5) == 0)
        why = prepare(strtoull(line + 5, NULL, 10));
    else if (strcmp(line, "check\n") == 0)
        why = verify();
    if (why[0])
        fprintf(out, "failed %s\n", why);
    else if (measures)
        fprintf(out, "took %.0f\n", seconds * 1e9);
    else
        fprintf(out, "ready\n");
    fflush(out);
}

static bool find_wire(const char *name)
{
    wire = strcmp(name, "float16") == 0    ? MU_FLOAT16
           : strcmp(name, "bfloat16") == 0 ? MU_BFLOAT16
                                           : MU_FLOAT32;
    return wire != MU_FLOAT32 || strcmp(name, "float32") == 0;
}

static bool join(char **argv, int argument_count)
{
    const struct mu_group_options options = {
        .addresses = (const char *const *)argv + FIRST_ADDRESS,
        .count = argument_count - FIRST_ADDRESS,
        .streams = atoi(argv[4]),
        .rank = atoi(argv[5]),
        .algorithm = strcmp(argv[3], "best") == 0 ? NULL : argv[3],
        .wire = wire,
        .timeout_seconds = 60,
    };
    if (mu_group_open(&options, &group) != MU_OK) {
        fprintf(stderr, "bench_hosts: %s\n", mu_group_error(NULL));
        return false;
    }
    rank = mu_group_rank(group);
    ranks = mu_group_size(group);
    run_max = ranks > 1 ? (int)(DOUBLINGS / log2(ranks)) : DOUBLINGS;
    for (int i = 0; i < PERIOD; i++)
        period[i] = SCALE * (float)(i + rank + 1);
    return true;
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char line[512];
    if (argc <= FIRST_ADDRESS || !find_wire(argv[2])) {
        fprintf(
            stderr, "bench_hosts SOCKET float32|float16|bfloat16 ALGORITHM|best STREAMS "
            "RANK ADDRESS...\n");
        return 64;
    }
    if (!join(argv, argc))
        return 1;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", argv[1]);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
        perror(argv[1]);
        return 1;
    }
    FILE *in = fdopen(fd, "r"), *out = fdopen(fd, "w");
    fprintf(out, "rank %d\n", rank);
    fflush(out);
    while (fgets(line, sizeof(line), in))
        obey(line, out);
    free(data);
    mu_group_close(group);
    return 0;
}
