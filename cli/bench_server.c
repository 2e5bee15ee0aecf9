/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_tasks.h"
#include "ps/server/server.h"
#include "runtime/io/real_world.h"
#include "runtime/optim/optimizers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A server of `muster bench ps`. It serves on one thread; another listens to the lead, and ends the
 * serving of one size when it says so.
 */
struct bench_server {
    struct mu_bench_ps *bench;
    int order;
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_ps_server *servers[2]; /* the second is a standby */
    int seats[2], seat_count;
    FILE *in, *out;
    bool over, ends; /* ends: the lead wants nothing more of this size */
};

/* Whose calls come here. */
struct way {
    struct bench_server *own;
    bool is_follower;
    int place; /* of the own server */
    int index;
};

static double rate(void *owner, int64_t version)
{
    (void)owner;
    (void)version;
    return -1; /* sgd subtracts: so the gradient is added */
}

static struct mu_judgement apply(const void *options, const struct mu_push_facts *push)
{
    (void)options;
    (void)push;
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static void on_accepted(void *owner, struct mu_stream *stream)
{
    struct way *way = owner;
    struct mu_link *link;
    if (mu_link_accept(way->own->loop, stream, &mu_link_hold_events, NULL, &link) != MU_OK)
        return;
    if (way->is_follower)
        mu_ps_server_add_follower(way->own->servers[way->place], way->index, link);
    else
        mu_ps_server_add_worker(way->own->servers[way->place], way->index, link);
}

/* ---- one size ---- */

static void wait_for_end(void *argument)
{
    struct bench_server *own = argument;
    char line[MU_BENCH_LINE_MAX];
    char *got = fgets(line, sizeof(line), own->in);
    own->ends = !got || strcmp(line, "load\n") != 0;
    __atomic_store_n(&own->over, true, __ATOMIC_RELEASE);
    own->loop->ops->wake(own->loop);
}

static enum mu_status create(struct bench_server *own, int place, int64_t bytes, int in_flight)
{
    static const struct mu_policy_ops policy = {.name = "async", .judge = apply};
    struct mu_bench_ps *bench = own->bench;
    const struct mu_ps_server_options options = {
        .loop = own->loop,
        .log = bench->log,
        .order = own->seats[place],
        .server_count = (int)bench->options->servers,
        .replicas = (int)bench->options->replicas,
        .replica_count = (int)bench->options->workers,
        .in_flight_max = in_flight,
        .element_count = (size_t)bytes / sizeof(float),
        .optimizer = mu_optimizer_find("sgd"),
        .policy = &policy,
        .learning_rate = rate,
        .rows = {.width = mu_bench_row_width(bench),
            .push_max = (size_t)bench->options->batch,
            .id_count = (uint64_t)bench->options->rows,
            .dense = bench->options->dense,
            .seed = 1},
    };
    return mu_ps_server_create(&options, &own->servers[place]);
}

static enum mu_status begin(struct mu_ps_server *server)
{
    MU_TRY(mu_ps_server_lay(server));
    mu_ps_server_begin(server, 0);
    return MU_OK;
}

/* To the servers that may judge. */
static enum mu_status call_heads(struct bench_server *own, int place)
{
    const struct mu_bench_ps *bench = own->bench;
    int seat = own->seats[place], deputy = (int)bench->options->servers;
    struct mu_link *link;
    if (seat == 0)
        return MU_OK;
    MU_TRY(mu_bench_call(own->loop, &bench->address[mu_bench_way_of_follower(bench, seat)], &link));
    mu_ps_server_add_head(own->servers[place], link);
    if (bench->options->replicas == 0 || seat == deputy)
        return MU_OK;
    MU_TRY(mu_bench_call(own->loop, &bench->address[mu_bench_way_to_deputy(bench, seat)], &link));
    mu_ps_server_add_deputy(own->servers[place], link);
    return MU_OK;
}

static enum mu_status create_all(struct bench_server *own, int64_t bytes, int in_flight)
{
    for (int i = 0; i < own->seat_count; i++)
        MU_TRY(create(own, i, bytes, in_flight));
    for (int i = 0; i < own->seat_count; i++) /* others may call either of them by now */
        MU_TRY(begin(own->servers[i]));
    for (int i = 0; i < own->seat_count; i++)
        MU_TRY(call_heads(own, i));
    return MU_OK;
}

static enum mu_status answer(struct bench_server *own, enum mu_status status)
{
    fprintf(own->out, status == MU_OK ? "ready\n" : "failed it ended early\n");
    fflush(own->out);
    return status;
}

/* Until the lead says something. */
static enum mu_status serve_on(struct bench_server *own)
{
    struct mu_world *world = &own->real.world;
    struct mu_thread *listener;
    own->over = false;
    MU_TRY(world->ops->spawn(world, "lead", wait_for_end, own, &listener));
    enum mu_status status = mu_ps_servers_run(own->servers, own->seat_count, &own->over);
    world->ops->join(world, listener);
    return status;
}

static void tell_load(struct bench_server *own)
{
    struct mu_bench_load *sum = &own->bench->loads[own->order];
    *sum = (struct mu_bench_load){0};
    for (int i = 0; i < own->seat_count; i++) {
        const struct mu_ps_load *load = mu_ps_server_load(own->servers[i]);
        sum->bytes += load->bytes_in + load->bytes_out;
        sum->rows += load->rows_given + load->rows_wanted;
    }
}

static enum mu_status serve_size(struct bench_server *own, int64_t bytes, int in_flight)
{
    enum mu_status status = create_all(own, bytes, in_flight);
    own->ends = false;
    while (status == MU_OK && !own->ends) {
        MU_TRY(answer(own, status));
        status = serve_on(own);
        tell_load(own);
    }
    for (int i = 0; i < own->seat_count; i++) {
        mu_ps_server_destroy(own->servers[i]);
        own->servers[i] = NULL;
    }
    return answer(own, status);
}

/* ---- life ---- */

static enum mu_status listen_to(struct bench_server *own, int index, struct way *way)
{
    struct mu_listener *listener; /* ends with the process */
    int error;
    return own->loop->ops->listen(own->loop, &own->bench->address[index],
        own->bench->listen_fd[index], on_accepted, way, &listener, &error);
}

static enum mu_status listen_for(struct bench_server *own, int place, struct way ways[])
{
    const struct mu_bench_ps *bench = own->bench;
    int seat = own->seats[place], deputy = (int)bench->options->servers;
    for (int i = 0; i < bench->options->workers; i++, ways++) {
        *ways = (struct way){.own = own, .place = place, .index = i};
        MU_TRY(listen_to(own, mu_bench_way_of_worker(bench, seat, i), ways));
    }
    for (int i = 1; i < mu_bench_seats(bench) && (seat == 0 || seat == deputy); i++, ways++) {
        int way = seat == 0 ? mu_bench_way_of_follower(bench, i) : mu_bench_way_to_deputy(bench, i);
        *ways = (struct way){.own = own, .is_follower = true, .place = place, .index = i};
        if (i != seat)
            MU_TRY(listen_to(own, way, ways));
    }
    return MU_OK;
}

static enum mu_status serve_all(struct bench_server *own)
{
    struct way ways[2][MU_BENCH_PS_WORKERS_MAX + 2 * MU_BENCH_PS_SERVERS_MAX];
    char line[MU_BENCH_LINE_MAX];
    long long bytes;
    int in_flight;
    MU_TRY(mu_real_world_init(&own->real));
    MU_TRY(own->real.world.ops->loop_create(&own->real.world, &own->loop));
    for (int i = 0; i < own->seat_count; i++)
        MU_TRY(listen_for(own, i, ways[i]));
    while (fgets(line, sizeof(line), own->in))
        if (sscanf(line, "size %lld %d", &bytes, &in_flight) == 2)
            MU_TRY(serve_size(own, bytes, in_flight));
    return MU_OK;
}

int mu_bench_server_serve(struct mu_bench_ps *bench, int order, int fd)
{
    int servers = (int)bench->options->servers;
    struct bench_server own = {.bench = bench,
        .order = order,
        .seats = {order, servers + (order + servers - 1) % servers},
        .seat_count = 1 + (int)bench->options->replicas};
    own.in = fdopen(fd, "r");
    own.out = fdopen(dup(fd), "w");
    return mu_status_exit(serve_all(&own));
}
