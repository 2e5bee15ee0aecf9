/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/transport.h"
#include "runtime/io/real_world.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What the tcp transport costs between two processes of this host: bench_transport [tcp|unix]
 * [KiB of a segment] [segments in flight].
 * "exchange": both send and receive one message and wait for both, which is the least that an
 * all-reduce of two ranks can do. "stream": both send and receive 64 MiB in segments. One JSON line
 * each: median, least and most of the windows, and the processor time of one rank, which other work
 * on the machine changes less.
 */
#define WINDOWS 15
#define STREAM ((size_t)64 << 20)
#define IN_FLIGHT_MAX 16

struct bench {
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_transport *transport;
    struct mu_link *link;
    bool linked;
    int rank;
    struct mu_signature signature;
    struct mu_op send[IN_FLIGHT_MAX], receive[IN_FLIGHT_MAX];
    uint8_t *here, *there;
};

static struct bench bench;
static size_t segment_bytes = 256 << 10;
static size_t in_flight = 4;

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_transport: rank %d: %s\n", bench.rank, what);
    exit(1);
}

/* ---- two linked processes ---- */

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    need(status == MU_OK, "no connection");
    bench.linked = true;
}

static const struct mu_link_events events = {.frame = mu_link_hold, .connected = on_connected};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    need(mu_link_accept(bench.loop, stream, &events, NULL, &bench.link) == MU_OK, "no memory");
    bench.linked = true;
}

static int listen_somewhere(struct mu_address *address)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 1) == 0 &&
             getsockname(fd, (struct sockaddr *)&any, &bytes) == 0,
        "no port");
    *address = (struct mu_address){.host = "127.0.0.1", .port = ntohs(any.sin_port)};
    return fd;
}

static void move_home(void)
{
    const bool home[2] = {true, true};
    struct mu_log log;
    mu_log_init_stderr(&log, MU_LEVEL_DEBUG);
    need(mu_tcp_move_home(bench.transport, &log, home, MU_FOREVER) == MU_OK, "not moved");
}

static void open_rank(const char *kind, const struct mu_address *address, int fd)
{
    struct mu_listener *listener = NULL;
    struct mu_link *links[2] = {0};
    int error;
    need(mu_real_world_init(&bench.real) == MU_OK, "no world");
    need(bench.real.world.ops->loop_create(&bench.real.world, &bench.loop) == MU_OK, "no loop");
    const struct mu_net_ops *net = bench.loop->ops;
    enum mu_status status =
        bench.rank == 0 ? net->listen(bench.loop, address, fd, on_accepted, NULL, &listener, &error)
                        : mu_link_connect(bench.loop, address, &events, NULL, &bench.link);
    need(status == MU_OK, "no way to the other");
    need(mu_loop_until(bench.loop, &bench.linked, MU_FOREVER) == MU_OK, "no link");
    net->listener_close(listener);
    links[1 - bench.rank] = bench.link;
    need(mu_tcp_open(bench.loop, bench.rank, 2, 1, links, &bench.transport) == MU_OK, "no memory");
    if (strcmp(kind, "unix") == 0)
        move_home();
    bench.transport->signature = &bench.signature;
}

/* ---- what is measured ---- */

static void begin(int slot, size_t offset, size_t bytes)
{
    struct mu_transport *transport = bench.transport;
    int other = 1 - bench.rank;
    transport->ops->receive(
        transport, &bench.receive[slot], other, offset, bench.there + offset, bytes);
    transport->ops->send(transport, &bench.send[slot], other, offset, bench.here + offset, bytes);
}

static void finish(int slot)
{
    struct mu_transport *transport = bench.transport;
    need(transport->ops->wait(transport, &bench.receive[slot], MU_FOREVER) == MU_OK, "receive");
    need(transport->ops->wait(transport, &bench.send[slot], MU_FOREVER) == MU_OK, "send");
}

static void exchange(size_t bytes)
{
    bench.signature.sequence++;
    begin(0, 0, bytes);
    finish(0);
}

static void stream(size_t bytes)
{
    size_t count = bytes / segment_bytes;
    bench.signature.sequence++;
    for (size_t i = 0; i < count + in_flight; i++) {
        if (i >= in_flight)
            finish((int)(i % in_flight));
        if (i < count)
            begin((int)(i % in_flight), i * segment_bytes, segment_bytes);
    }
}

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return 1e6 * (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void measure(const char *what, const char *kind, void (*run)(size_t), size_t bytes)
{
    double us[WINDOWS];
    int rounds = bytes <= 65536 ? 2000 : bytes <= (4 << 20) ? 40 : 3;
    for (int i = 0; i < rounds; i++)
        run(bytes);
    double cpu = cpu_us();
    for (int w = 0; w < WINDOWS; w++) {
        int64_t start = mu_now(&bench.real.world);
        for (int i = 0; i < rounds; i++)
            run(bytes);
        us[w] = (double)(mu_now(&bench.real.world) - start) / 1e3 / rounds;
    }
    cpu = (cpu_us() - cpu) / WINDOWS / rounds;
    need(memcmp(bench.there, bench.here, bytes) == 0, "other bytes came");
    qsort(us, WINDOWS, sizeof(us[0]), by_value);
    if (bench.rank == 0)
        printf("{\"bench\": \"transport\", \"over\": \"%s\", \"what\": \"%s\", \"bytes\": %zu, "
               "\"median_us\": %.2f, \"min_us\": %.2f, \"max_us\": %.2f, \"cpu_us\": %.2f, "
               "\"GB_s\": %.2f}\n",
            kind, what, bytes, us[WINDOWS / 2], us[0], us[WINDOWS - 1], cpu,
            (double)bytes / us[WINDOWS / 2] / 1e3);
    fflush(stdout);
}

static void run_rank(const char *kind)
{
    bench.here = malloc(STREAM);
    bench.there = malloc(STREAM);
    need(bench.here && bench.there, "no memory");
    for (size_t i = 0; i < STREAM; i++)
        bench.here[i] = (uint8_t)(i * 31 + i / 256);
    memset(bench.there, 0, STREAM);
    const size_t sizes[] = {4, 1024, 16384, 262144};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        measure("exchange", kind, exchange, sizes[i]);
    measure("stream", kind, stream, 4 << 20);
    measure("stream", kind, stream, STREAM);
    exchange(1); /* both have come here */
    free(bench.here);
    free(bench.there);
    bench.transport->ops->close(bench.transport);
    bench.loop->ops->destroy(bench.loop);
    mu_real_world_finish(&bench.real);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "tcp";
    segment_bytes = argc > 2 ? (size_t)atol(argv[2]) << 10 : segment_bytes;
    in_flight = argc > 3 ? (size_t)atol(argv[3]) : in_flight;
    need(segment_bytes > 0 && in_flight > 0 && in_flight <= IN_FLIGHT_MAX, "no such segments");
    struct mu_address address;
    int fd = listen_somewhere(&address);
    pid_t child = fork();
    need(child >= 0, "no second process");
    bench.rank = child == 0;
    if (bench.rank == 1)
        close(fd);
    open_rank(kind, &address, fd);
    run_rank(kind);
    int status = 0;
    if (bench.rank == 0 && (waitpid(child, &status, 0) != child || status != 0))
        return 1;
    return 0;
}
