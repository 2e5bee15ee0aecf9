/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/status.h"
#include "runtime/device/reduce.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * What this machine could do, with nothing of an all-reduce around it: bench_limits memory|tcp|unix
 * RANKS [BYTES...]. One JSON line a size.
 *
 *   memory   all ranks meet once, by flags; each reads its part of n vectors and writes it to n
 *   tcp      each sends to its right and receives from its left what the best algorithm does: S
 *   unix     bytes log2 n times while that is short, 2 (n-1)/n S otherwise; nothing is added
 *
 * The least of some batches: a limit does not wait for other work.
 */
#define BATCHES 7
#define BATCH_SECONDS 0.05
#define RANKS_MAX 16
#define SHORT_BYTES 65536 /* longer ones travel in parts */
#define SPINS 2000

struct shared {
    struct {
        _Alignas(128) _Atomic uint64_t at;
    } flag[RANKS_MAX];
    double seconds[RANKS_MAX];
};

static struct shared *shared;
static int rank, ranks;
static uint64_t met;
static float *vector[RANKS_MAX];
static int to_right = -1, from_left = -1;
static char *memory;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void rest(int *spins)
{
    if (++*spins > (ranks > 2 ? 20 : SPINS))
        sched_yield();
}

static void meet(void)
{
    atomic_store_explicit(&shared->flag[rank].at, ++met, memory_order_release);
    for (int other = 0; other < ranks; other++)
        for (int spins = 0;
             atomic_load_explicit(&shared->flag[other].at, memory_order_acquire) < met;)
            rest(&spins);
}

static void pass_memory(size_t bytes)
{
    size_t count = bytes / sizeof(float), part = (count + (size_t)ranks - 1) / (size_t)ranks;
    size_t first = part * (size_t)rank, last = first + part < count ? first + part : count;
    void *at[RANKS_MAX];
    meet();
    if (first >= last)
        return;
    for (int i = 0; i < ranks; i++)
        at[i] = vector[i] + first;
    mu_reducer(MU_FLOAT32, MU_SUM)
        ->many_to_many(at, (const void *const *)at, ranks, last - first);
}

/* Both ways at once, without waiting in the kernel. */
static void exchange(size_t bytes)
{
    size_t sent = 0, got = 0;
    for (int spins = 0; sent < bytes || got < bytes;) {
        ssize_t out = sent < bytes ? send(to_right, memory, bytes - sent, MSG_DONTWAIT) : 0;
        ssize_t in = got < bytes ? recv(from_left, memory, bytes - got, MSG_DONTWAIT) : 0;
        sent += out > 0 ? (size_t)out : 0;
        got += in > 0 ? (size_t)in : 0;
        if (out <= 0 && in <= 0)
            rest(&spins);
        else
            spins = 0;
    }
}

static void pass_sockets(size_t bytes)
{
    if (bytes > SHORT_BYTES) {
        exchange(2 * (bytes / (size_t)ranks) * (size_t)(ranks - 1));
        return;
    }
    for (int reached = 1; reached < ranks; reached *= 2)
        exchange(bytes);
}

static double slowest(double seconds)
{
    double most = 0;
    shared->seconds[rank] = seconds;
    meet();
    for (int i = 0; i < ranks; i++)
        most = shared->seconds[i] > most ? shared->seconds[i] : most;
    meet();
    return most;
}

static double batch(void (*pass)(size_t bytes), size_t bytes, int times)
{
    meet();
    double begin = now();
    for (int i = 0; i < times; i++)
        pass(bytes);
    return slowest(now() - begin) / times;
}

static void measure(const char *name, void (*pass)(size_t bytes), size_t bytes)
{
    double guess = batch(pass, bytes, 3), least = 0;
    int times = guess * 20000 < BATCH_SECONDS ? 20000 : (int)(BATCH_SECONDS / guess) + 1;
    for (int i = 0; i < BATCHES; i++) {
        double seconds = batch(pass, bytes, times);
        least = i == 0 || seconds < least ? seconds : least;
    }
    if (rank == 0)
        printf("{\"limit\":\"%s\",\"ranks\":%d,\"bytes\":%zu,\"us\":%.2f}\n", name, ranks, bytes,
            least * 1e6);
    fflush(stdout);
}

static void *map(size_t bytes, int how)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("bench_limits: mmap");
        exit(1);
    }
    memset(at, 0, bytes);
    return at;
}

static void connect_tcp(int pair[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    bool fine = bind(door, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(door, 1) == 0 &&
                getsockname(door, (struct sockaddr *)&at, &bytes) == 0;
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    fine = fine && connect(pair[0], (const struct sockaddr *)&at, sizeof(at)) == 0;
    pair[1] = accept(door, NULL, NULL);
    close(door);
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!fine || pair[1] < 0) {
        perror("bench_limits: loopback");
        exit(1);
    }
}

/* This process becomes rank 0, its children the others; each has a core while there are enough. */
static void fork_ranks(void)
{
    cpu_set_t one;
    for (rank = ranks - 1; rank > 0; rank--)
        if (fork() == 0)
            break;
    if (ranks > (int)sysconf(_SC_NPROCESSORS_ONLN))
        return;
    CPU_ZERO(&one);
    CPU_SET(rank, &one);
    int code = sched_setaffinity(0, sizeof(one), &one);
    (void)code;
}

static size_t bytes_of(char *const *sizes, int index)
{
    static const size_t usual[] = {4, 1024, 16384, 262144, 4194304, 67108864};
    if (sizes)
        return strtoull(sizes[index], NULL, 10);
    return index < (int)MU_COUNT_OF(usual) ? usual[index] : 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[1] : "";
    char *const *sizes = argc > 3 ? argv + 3 : NULL;
    int size_count = argc > 3 ? argc - 3 : 6, wire[RANKS_MAX][2];
    size_t most = 0;
    bool is_memory = strcmp(name, "memory") == 0;
    ranks = argc > 2 ? atoi(argv[2]) : 0;
    if (ranks < 2 || ranks > RANKS_MAX ||
        (!is_memory && strcmp(name, "tcp") != 0 && strcmp(name, "unix") != 0)) {
        fprintf(stderr, "usage: bench_limits memory|tcp|unix RANKS [BYTES...]\n");
        return 64;
    }
    for (int i = 0; i < size_count; i++)
        most = bytes_of(sizes, i) > most ? bytes_of(sizes, i) : most;
    shared = map(sizeof(*shared), MAP_SHARED);
    for (int i = 0; i < ranks; i++) {
        vector[i] = is_memory ? map(most, MAP_SHARED) : NULL;
        if (name[0] == 'u' && socketpair(AF_UNIX, SOCK_STREAM, 0, wire[i]) != 0)
            return 1;
        if (name[0] == 't')
            connect_tcp(wire[i]);
    }
    fork_ranks();
    if (!is_memory) {
        memory = map(2 * most, MAP_PRIVATE);
        to_right = wire[rank][0];
        from_left = wire[(rank + ranks - 1) % ranks][1];
    }
    for (int i = 0; i < size_count; i++)
        measure(name, is_memory ? pass_memory : pass_sockets, bytes_of(sizes, i));
    while (rank == 0 && wait(NULL) > 0)
        ;
    return 0;
}
