/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/status.h"
#include "runtime/device/kernels.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * What this machine could do for pushes, with nothing of a parameter server around it:
 * bench_push_limits tcp|memory WORKERS SERVERS BYTES... One JSON line a size; a process each.
 *
 *   tcp      a worker writes its vector, a part to each server; a server reads it in pieces of 256
 *            KiB, adds it to its own and answers with a byte
 *   memory   a worker writes a byte; a server adds the vector from where both see it
 *
 * Two vectors of a worker are under way. Nobody looks for NaN, numbers or verifies anything. What
 * `muster bench ps --op push-in-flight` needs beyond this is its own.
 */
#define PEERS_MAX 16
#define PIECE_BYTES ((size_t)256 << 10)
#define BATCH_SECONDS 0.6
#define BATCHES 5
#define PATIENCE_SECONDS 300 /* with one that failed */

struct shared {
    _Alignas(64) atomic_int arrived;
    atomic_int round;
    double cpu_seconds[2 * PEERS_MAX];
};

static struct shared *shared;
static int worker_count, server_count;
static bool is_memory;
static int wire[PEERS_MAX][PEERS_MAX][2]; /* of a worker and a server: the two ends */
static float *vector[PEERS_MAX];          /* of each worker, where all see it */

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *map(size_t bytes, int how)
{
    size_t huge = (size_t)2 << 20, whole = (bytes + huge - 1) / huge * huge;
    char *at = mmap(NULL, whole + huge, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("bench_push_limits: mmap");
    at += huge - (uintptr_t)at % huge;
    if (how == MAP_PRIVATE)
        (void)madvise(at, whole, MADV_HUGEPAGE);
    memset(at, 0, bytes);
    return at;
}

/* ---- a worker ---- */

static void write_all(int to, const char *from, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(to, from, bytes);
        if (wrote <= 0)
            fail("bench_push_limits: write");
        from += wrote;
        bytes -= (size_t)wrote;
    }
}

static void await_answers(int worker)
{
    char answer;
    for (int s = 0; s < server_count; s++)
        if (read(wire[worker][s][0], &answer, 1) != 1)
            fail("bench_push_limits: read");
}

/* All parts at once would need a thread each: a part waits while the one before is taken. */
static void push(int worker, size_t part_bytes)
{
    for (int s = 0; s < server_count; s++)
        write_all(wire[worker][s][0], (const char *)vector[worker] + (size_t)s * part_bytes,
            is_memory ? 1 : part_bytes);
}

static void work(int worker, size_t part_bytes, int pushes)
{
    for (int k = 0; k <= pushes; k++) {
        if (k < pushes)
            push(worker, part_bytes);
        if (k > 0)
            await_answers(worker);
    }
}

/* ---- a server ---- */

struct taken {
    char *buffer[2];
    size_t got, pushes;
};

static void add(const struct taken *taken, int worker, float *own, int server, size_t part_bytes)
{
    const char *from = is_memory ? (const char *)vector[worker] + (size_t)server * part_bytes
                                 : taken->buffer[taken->pushes % 2];
    mu_kernels()->add(own, (const float *)(const void *)from, part_bytes / sizeof(float));
}

/* One read; true if that was the end of a part. */
static bool take(struct taken *taken, int from, size_t part_bytes)
{
    char sign;
    size_t left = part_bytes - taken->got, most = left < PIECE_BYTES ? left : PIECE_BYTES;
    char *at = is_memory ? &sign : taken->buffer[taken->pushes % 2] + taken->got;
    ssize_t got = recv(from, at, is_memory ? 1 : most, MSG_DONTWAIT);
    if (got > 0)
        taken->got += is_memory ? part_bytes : (size_t)got;
    return taken->got == part_bytes;
}

static void serve(int server, size_t part_bytes, int pushes, struct taken *taken, float *own)
{
    struct pollfd peers[PEERS_MAX];
    for (int w = 0; w < worker_count; w++) {
        peers[w] = (struct pollfd){.fd = wire[w][server][1], .events = POLLIN};
        taken[w].pushes = 0;
    }
    for (int left = pushes * worker_count; left > 0;) {
        if (poll(peers, (nfds_t)worker_count, -1) < 0)
            fail("bench_push_limits: poll");
        for (int w = 0; w < worker_count; w++) {
            if (!peers[w].revents || !take(&taken[w], peers[w].fd, part_bytes))
                continue;
            add(&taken[w], w, own, server, part_bytes);
            write_all(peers[w].fd, "", 1);
            taken[w].pushes++;
            taken[w].got = 0;
            left--;
        }
    }
}

/* ---- all ---- */

static void meet(void)
{
    int round = atomic_load(&shared->round);
    if (atomic_fetch_add(&shared->arrived, 1) + 1 == worker_count + server_count + 1) {
        atomic_store(&shared->arrived, 0);
        atomic_fetch_add(&shared->round, 1);
    }
    while (atomic_load(&shared->round) == round)
        usleep(100);
}

/* Process `rank`: the servers first; -1: the one that prints. Batches have 1, then `pushes`. */
static void run(int rank, size_t bytes, const int *pushes)
{
    size_t part_bytes = bytes / (size_t)server_count;
    struct taken taken[PEERS_MAX] = {0};
    bool is_server = rank >= 0 && rank < server_count;
    float *own = is_server ? map(part_bytes, MAP_PRIVATE) : NULL;
    for (int w = 0; is_server && !is_memory && w < worker_count; w++)
        for (int i = 0; i < 2; i++)
            taken[w].buffer[i] = map(part_bytes, MAP_PRIVATE);
    for (int batch = 0; batch <= BATCHES; batch++) {
        meet();
        double began = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        if (is_server)
            serve(rank, part_bytes, pushes[batch > 0], taken, own);
        else if (rank >= 0)
            work(rank - server_count, part_bytes, pushes[batch > 0]);
        if (rank >= 0)
            shared->cpu_seconds[rank] = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - began;
        meet();
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(size_t bytes, int pushes)
{
    double wall[BATCHES], cpu[BATCHES];
    for (int batch = 0; batch <= BATCHES; batch++) {
        meet();
        double began = seconds_of(CLOCK_MONOTONIC), sum = 0;
        meet();
        double took = seconds_of(CLOCK_MONOTONIC) - began;
        for (int i = 0; i < server_count + worker_count; i++)
            sum += shared->cpu_seconds[i];
        if (batch > 0) {
            wall[batch - 1] = took / pushes / worker_count;
            cpu[batch - 1] = sum / pushes / worker_count;
        }
    }
    qsort(wall, BATCHES, sizeof(double), by_value);
    qsort(cpu, BATCHES, sizeof(double), by_value);
    printf("{\"limit\":\"push-%s\",\"workers\":%d,\"servers\":%d,\"bytes\":%zu,"
           "\"ops_per_second\":%.1f,\"bytes_per_second\":%.0f,\"cpu_us_per_op\":%.1f}\n",
        is_memory ? "memory" : "tcp", worker_count, server_count, bytes, 1 / wall[BATCHES / 2],
        (double)bytes / wall[BATCHES / 2], cpu[BATCHES / 2] * 1e6);
}

static void connect_pair(int pair[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    bool fine = bind(door, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(door, 1) == 0 &&
                getsockname(door, (struct sockaddr *)&at, &bytes) == 0;
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    if (!fine || connect(pair[0], (const struct sockaddr *)&at, sizeof(at)) != 0 ||
        (pair[1] = accept(door, NULL, NULL)) < 0)
        fail("bench_push_limits: loopback");
    close(door);
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void measure(size_t bytes)
{
    /* As many as fill a batch if a machine moves 4 GB/s. */
    int pushes[2] = {2, (int)(BATCH_SECONDS * 4e9 / (double)bytes / worker_count) + 1};
    for (int w = 0; w < worker_count; w++) {
        vector[w] = map(bytes, is_memory ? MAP_SHARED : MAP_PRIVATE);
        for (int s = 0; s < server_count; s++)
            connect_pair(wire[w][s]);
    }
    for (int rank = 0; rank < server_count + worker_count; rank++)
        if (fork() == 0) {
            alarm(PATIENCE_SECONDS);
            run(rank, bytes, pushes);
            _exit(0);
        }
    print(bytes, pushes[1]);
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    is_memory = argc > 1 && strcmp(argv[1], "memory") == 0;
    worker_count = argc > 4 ? atoi(argv[2]) : 0;
    server_count = argc > 4 ? atoi(argv[3]) : 0;
    if ((argc > 1 && !is_memory && strcmp(argv[1], "tcp") != 0) || worker_count < 1 ||
        worker_count > PEERS_MAX || server_count < 1 || server_count > PEERS_MAX) {
        fprintf(stderr, "usage: bench_push_limits tcp|memory WORKERS SERVERS BYTES...\n");
        return 64;
    }
    shared = map(sizeof(*shared), MAP_SHARED);
    for (int i = 4; i < argc; i++) {
        fflush(stdout);
        if (fork() == 0) {
            alarm(PATIENCE_SECONDS);
            measure(strtoull(argv[i], NULL, 10) / 256 * 256);
            return 0;
        }
        wait(NULL);
    }
    return 0;
}
