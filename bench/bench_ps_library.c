/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <muster/ps.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * What a push of a program with muster/ps.h costs: a server with SGD and workers, a process each,
 * on this host. A push takes the gradient there and brings the fresh parameters back to vectors of
 * the worker's own.
 *
 *     bench_ps_library [TRANSPORT [BYTES [WORKERS [PUSHES]]]]
 *
 * One JSON line, of worker 0: median and 99th percentile of the time of a push, and bytes there and
 * back a second of all workers together.
 */
#define WORKERS_MAX 64

struct bench {
    struct mu_ps_options options;
    int pushes;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (!memory)
        exit(fprintf(stderr, "no memory\n") > 0);
    return memory;
}

static void check(enum mu_status status, const struct mu_ps *ps)
{
    if (status != MU_OK)
        exit(fprintf(stderr, "%s\n", mu_ps_error(ps)) > 0);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void print(const struct bench *bench, double *seconds, double all)
{
    const struct mu_ps_options *options = &bench->options;
    int count = bench->pushes;
    double bytes = 2.0 * (double)options->count * sizeof(float);
    qsort(seconds, (size_t)count, sizeof(*seconds), compare);
    printf("{\"bench\":\"ps_library\",\"transport\":\"%s\",\"bytes\":%zu,\"workers\":%d,"
           "\"p50_us\":%.0f,\"p99_us\":%.0f,\"gb_per_s\":%.2f}\n",
        options->transport, options->count * sizeof(float), options->worker_count,
        1e6 * seconds[count / 2], 1e6 * seconds[count * 99 / 100],
        1e-9 * bytes * count * options->worker_count / all);
}

static void work(struct bench *bench, int index)
{
    float *gradient = allocate(bench->options.count, sizeof(*gradient));
    float *parameters = allocate(bench->options.count, sizeof(*parameters));
    double *seconds = allocate((size_t)bench->pushes, sizeof(*seconds));
    struct mu_ps *ps;
    struct mu_ps_result result;
    bench->options.index = index;
    check(mu_ps_open(&bench->options, &ps), NULL);
    check(mu_ps_pull(ps, parameters, &result.version), ps);
    for (int i = 0; i < 1 + bench->pushes / 10; i++)
        check(mu_ps_push_pull(ps, gradient, result.version, parameters, &result), ps);
    double begun = now_seconds(), last = begun;
    for (int i = 0; i < bench->pushes; i++) {
        check(mu_ps_push_pull(ps, gradient, result.version, parameters, &result), ps);
        seconds[i] = now_seconds() - last;
        last += seconds[i];
    }
    if (index == 0)
        print(bench, seconds, last - begun);
    mu_ps_close(ps);
    free(seconds);
    free(parameters);
    free(gradient);
}

/* A port that was free a moment ago. */
static void find_address(char text[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0 || bind(file, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(file, (struct sockaddr *)&address, &bytes) != 0)
        exit(fprintf(stderr, "no port: %s\n", strerror(errno)) > 0);
    close(file);
    snprintf(text, 32, "127.0.0.1:%d", ntohs(address.sin_port));
}

/* The children end with this process. */
static int is_child(void)
{
    pid_t child = fork();
    if (child < 0)
        exit(fprintf(stderr, "no process: %s\n", strerror(errno)) > 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child == 0;
}

int main(int argc, char **argv)
{
    char address[32];
    const char *const servers[] = {address};
    long bytes = argc > 2 ? atol(argv[2]) : 4 << 20;
    int workers = argc > 3 ? atoi(argv[3]) : 2, code, failed = 0;
    struct bench bench = {
        .options = {.servers = servers,
            .server_count = 1,
            .worker_count = workers,
            .count = (size_t)bytes / sizeof(float),
            .transport = argc > 1 ? argv[1] : "route"},
        .pushes = argc > 4 ? atoi(argv[4]) : 500,
    };
    if (bytes < 4 || workers < 1 || workers > WORKERS_MAX || bench.pushes < 1)
        return fprintf(stderr, "bench_ps_library [TRANSPORT [BYTES [WORKERS [PUSHES]]]]\n") > 0;
    find_address(address);
    if (is_child()) {
        check(mu_ps_serve(&bench.options, NULL), NULL);
        return 0;
    }
    for (int i = 1; i < workers; i++)
        if (is_child()) {
            work(&bench, i);
            return 0;
        }
    work(&bench, 0);
    while (wait(&code) > 0)
        failed |= code;
    return failed != 0;
}
