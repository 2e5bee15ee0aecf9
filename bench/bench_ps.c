/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/client.h"
#include "ps/server/server.h"
#include "runtime/io/real_world.h"
#include "runtime/optim/optimizers.h"
#include "runtime/tensor/arena.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * What a push costs: one server with SGD and two workers, a thread each, over TCP loopback. A push
 * takes the gradient there and brings the fresh parameters back. One JSON line a case: median over
 * the windows of the time between two pushes of one worker (with nothing to compute), of the CPU
 * time of all three threads together for one push, and of pushes a second of both workers.
 */
#define WORKERS 2
#define WINDOWS 5

struct bench {
    struct mu_real_world real;
    struct mu_log log;
    struct mu_address address;
    size_t element_count;
    int in_flight, pushes; /* of each worker */
    struct mu_ps_server *server;
    struct mu_loop *loop;
    int accepted;
    bool over;
    enum mu_status status;
};

struct worker {
    struct bench *bench;
    struct mu_thread *thread;
    enum mu_status status;
};

/* ---- the server ---- */

static struct mu_judgement apply(const void *options, const struct mu_push_facts *push)
{
    (void)options;
    (void)push;
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static double rate(void *owner, int64_t version)
{
    (void)owner;
    (void)version;
    return 0.01;
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)owner;
    (void)link;
    (void)why;
    (void)error;
}

static const struct mu_link_events early_events = {.frame = mu_link_hold, .ended = on_ended};

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct bench *bench = owner;
    struct mu_link *link;
    if (mu_link_accept(bench->loop, stream, &early_events, NULL, &link) == MU_OK)
        mu_ps_server_add_worker(bench->server, bench->accepted++, link);
}

static enum mu_status serve(struct bench *bench)
{
    static const struct mu_policy_ops policy = {.name = "async", .judge = apply};
    struct mu_ps_server_options options = {
        .loop = bench->loop,
        .log = &bench->log,
        .server_count = 1,
        .replica_count = WORKERS,
        .in_flight_max = bench->in_flight,
        .element_count = bench->element_count,
        .optimizer = mu_optimizer_find("sgd"),
        .policy = &policy,
        .learning_rate = rate,
    };
    MU_TRY(mu_ps_server_create(&options, &bench->server));
    MU_TRY(mu_ps_server_lay(bench->server));
    mu_ps_server_begin(bench->server, 0);
    struct mu_listener *listener;
    int error;
    MU_TRY(bench->loop->ops->listen(
        bench->loop, &bench->address, -1, on_accepted, bench, &listener, &error));
    enum mu_status status = mu_ps_server_run(bench->server, &bench->over);
    bench->loop->ops->listener_close(listener);
    return status;
}

static void server_main(void *argument)
{
    struct bench *bench = argument;
    bench->status = serve(bench);
    mu_ps_server_destroy(bench->server);
}

/* ---- a worker ---- */

struct knock {
    bool done;
    enum mu_status status;
};

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    (void)link;
    (void)error;
    struct knock *knock = owner;
    knock->status = status;
    knock->done = true;
}

static enum mu_status connect_to(
    struct bench *bench, struct mu_loop *loop, struct mu_link **ret_link)
{
    static const struct mu_link_events events = {
        .frame = mu_link_hold, .ended = on_ended, .connected = on_connected};
    for (int i = 0; i < 1000; i++) {
        struct knock knock = {0};
        MU_TRY(mu_link_connect(loop, &bench->address, &events, &knock, ret_link));
        MU_TRY(mu_loop_until(loop, &knock.done, MU_FOREVER));
        if (knock.status == MU_OK)
            return MU_OK;
        mu_link_close(*ret_link);
        loop->world->ops->sleep_until(loop->world, mu_now(loop->world) + 5 * MU_MS);
    }
    return MU_UNAVAILABLE;
}

static enum mu_status push_all(
    const struct bench *bench, struct mu_ps_client *client, const float *gradients, float *fresh)
{
    struct mu_ps_result result;
    int64_t version;
    MU_TRY(mu_ps_client_pull(client, fresh, MU_FOREVER, &version));
    for (int k = 0; k < bench->pushes + bench->in_flight; k++) {
        int slot = k % bench->in_flight;
        if (k >= bench->in_flight)
            MU_TRY(mu_ps_client_wait(client, slot, MU_FOREVER, &result));
        if (k < bench->pushes)
            MU_TRY(mu_ps_client_push(client, slot, gradients, 1.0f, version,
                fresh + (size_t)slot * bench->element_count));
    }
    return MU_OK;
}

static enum mu_status work(struct bench *bench, struct mu_loop *loop)
{
    struct mu_ps_client_options options = {
        .loop = loop,
        .log = &bench->log,
        .server_count = 1,
        .in_flight = bench->in_flight,
        .element_count = bench->element_count,
    };
    struct mu_ps_client *client;
    struct mu_link *link;
    struct mu_arena gradients, fresh;
    MU_TRY(mu_arena_init(&gradients, bench->element_count));
    MU_TRY(mu_arena_init(&fresh, bench->element_count * (size_t)bench->in_flight));
    MU_TRY(mu_ps_client_create(&options, &client));
    MU_TRY(connect_to(bench, loop, &link));
    mu_ps_client_add_server(client, 0, link);
    enum mu_status status = push_all(bench, client, gradients.data, fresh.data);
    mu_ps_client_destroy(client);
    mu_arena_finish(&gradients);
    mu_arena_finish(&fresh);
    return status;
}

static void worker_main(void *argument)
{
    struct worker *worker = argument;
    struct mu_world *world = &worker->bench->real.world;
    struct mu_loop *loop;
    worker->status = world->ops->loop_create(world, &loop);
    if (worker->status != MU_OK)
        return;
    worker->status = work(worker->bench, loop);
    loop->ops->destroy(loop);
}

/* ---- measuring ---- */

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &bytes) == 0;
    close(fd);
    return bound ? ntohs(address.sin_port) : 0;
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* All of them end before this does; a failure is that of the last one that failed. */
static enum mu_status run_workers(struct bench *bench)
{
    struct mu_world *world = &bench->real.world;
    struct worker workers[WORKERS];
    enum mu_status status = MU_OK;
    int count = 0;
    for (; status == MU_OK && count < WORKERS; count += status == MU_OK) {
        workers[count] = (struct worker){.bench = bench};
        status = world->ops->spawn(
            world, "worker", worker_main, &workers[count], &workers[count].thread);
    }
    for (int i = 0; i < count; i++) {
        world->ops->join(world, workers[i].thread);
        status = workers[i].status != MU_OK ? workers[i].status : status;
    }
    return status;
}

/* On a loop that outlives the server's thread, which may have ended when it is woken. */
static enum mu_status run_threads(struct bench *bench)
{
    struct mu_world *world = &bench->real.world;
    struct mu_thread *server;
    MU_TRY(world->ops->spawn(world, "ps", server_main, bench, &server));
    enum mu_status status = run_workers(bench);
    __atomic_store_n(&bench->over, true, __ATOMIC_RELEASE);
    bench->loop->ops->wake(bench->loop);
    world->ops->join(world, server);
    return status != MU_OK ? status : bench->status;
}

/* One window: everything is started, run and stopped. */
static enum mu_status run_window(struct bench *bench)
{
    struct mu_world *world = &bench->real.world;
    bench->address = (struct mu_address){.host = "127.0.0.1", .port = free_port()};
    bench->server = NULL;
    bench->accepted = 0;
    bench->over = false;
    MU_TRY(world->ops->loop_create(world, &bench->loop));
    enum mu_status status = run_threads(bench);
    bench->loop->ops->destroy(bench->loop);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[WINDOWS])
{
    qsort(values, WINDOWS, sizeof(double), by_value);
    return values[WINDOWS / 2];
}

static enum mu_status run_case(struct bench *bench)
{
    double wall[WINDOWS], cpu[WINDOWS];
    for (int i = 0; i < WINDOWS; i++) {
        int64_t from = mu_now(&bench->real.world), cpu_from = cpu_us();
        MU_TRY(run_window(bench));
        wall[i] = (double)(mu_now(&bench->real.world) - from) / 1e3 / bench->pushes;
        cpu[i] = (double)(cpu_us() - cpu_from) / bench->pushes / WORKERS;
    }
    double wall_us = median(wall);
    printf("{\"bench\":\"ps\",\"servers\":1,\"workers\":%d,\"in_flight\":%d,\"bytes\":%zu,"
           "\"us_per_push\":%.1f,\"cpu_us_per_push\":%.1f,\"pushes_per_s\":%.0f}\n",
        WORKERS, bench->in_flight, bench->element_count * sizeof(float), wall_us, median(cpu),
        WORKERS * 1e6 / wall_us);
    return MU_OK;
}

int main(void)
{
    static const struct {
        size_t element_count;
        int in_flight, pushes;
    } cases[] = {{1024, 1, 8000}, {1024, 4, 20000}, {669706, 1, 300}, {669706, 2, 300}};
    struct bench bench = {0};
    mu_log_init_stderr(&bench.log, MU_LEVEL_WARN);
    enum mu_status status = mu_real_world_init(&bench.real);
    for (size_t i = 0; status == MU_OK && i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench.element_count = cases[i].element_count;
        bench.in_flight = cases[i].in_flight;
        bench.pushes = cases[i].pushes;
        status = run_case(&bench);
    }
    mu_real_world_finish(&bench.real);
    return mu_status_exit(status);
}
