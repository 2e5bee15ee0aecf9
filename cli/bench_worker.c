/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_rows.h"
#include "cli/bench_tasks.h"
#include "ps/client.h"
#include "ps/server/server.h"
#include "runtime/io/real_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A worker of `muster bench ps`. */
#define CALLS_MAX 1000
#define CALL_AGAIN_NS (5 * MU_MS)
#define OPERATION_NS (30 * MU_SECOND)

struct bench_worker {
    struct mu_bench_ps *bench;
    int replica;
    struct mu_real_world real;
    struct mu_loop *loop;
    struct mu_ps_client *client;
    struct mu_bench_rows *rows; /* NULL: no table */
    struct mu_vectors vectors;  /* the gradient, then a fresh one for each in flight */
    size_t count;
    int in_flight_max, in_flight;
    bool pulls;
    int64_t version, pushes; /* pushes: of each worker since the parameters were zero */
    int64_t begun_ns[MU_PS_IN_FLIGHT_MAX];
    FILE *in, *out;
    char why[128];
};

/* ---- calling ---- */

struct call {
    bool done;
    enum mu_status status;
};

static void on_connected(void *owner, struct mu_link *link, enum mu_status status, int error)
{
    struct call *call = owner;
    (void)link;
    (void)error;
    *call = (struct call){.done = true, .status = status};
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)owner;
    (void)link;
    (void)why;
    (void)error;
}

enum mu_status mu_bench_call(
    struct mu_loop *loop, const struct mu_address *address, struct mu_link **ret_link)
{
    static const struct mu_link_events events = {
        .frame = mu_link_hold, .ended = on_ended, .connected = on_connected};
    for (int i = 0; i < CALLS_MAX; i++) {
        struct call call = {0};
        MU_TRY(mu_link_connect(loop, address, &events, &call, ret_link));
        MU_TRY(mu_loop_until(loop, &call.done, MU_FOREVER));
        if (call.status == MU_OK)
            return MU_OK;
        mu_link_close(*ret_link);
        loop->world->ops->sleep_until(loop->world, mu_now(loop->world) + CALL_AGAIN_NS);
    }
    return MU_UNAVAILABLE;
}

static enum mu_status connect_all(struct bench_worker *own)
{
    for (int i = 0; i < mu_bench_seats(own->bench); i++) {
        struct mu_link *link;
        int way = mu_bench_way_of_worker(own->bench, i, own->replica);
        MU_TRY(mu_bench_call(own->loop, &own->bench->address[way], &link));
        mu_ps_client_add_server(own->client, i, link);
    }
    return MU_OK;
}

/* ---- operations ---- */

static float *fresh_of(struct bench_worker *own, int slot)
{
    return mu_vectors_at(&own->vectors, 1 + (size_t)slot);
}

static float *gradient_of(struct bench_worker *own)
{
    return mu_vectors_at(&own->vectors, 0);
}

static enum mu_status begin(struct bench_worker *own, int slot)
{
    own->begun_ns[slot] = mu_now(&own->real.world);
    if (own->rows)
        mu_bench_rows_put(own->rows, slot);
    if (own->pulls)
        return mu_ps_client_pull_start(own->client, slot, fresh_of(own, slot));
    return mu_ps_client_push(own->client, slot, gradient_of(own), 1, own->version, NULL);
}

static enum mu_status end(struct bench_worker *own, int slot)
{
    struct mu_bench_samples *samples = &own->bench->samples[own->replica];
    struct mu_ps_result result;
    MU_TRY(mu_ps_client_wait(own->client, slot, mu_now(&own->real.world) + OPERATION_NS, &result));
    if (samples->count < MU_BENCH_SAMPLES_MAX)
        samples->ns[samples->count++] = (uint32_t)(mu_now(&own->real.world) - own->begun_ns[slot]);
    own->version = result.version;
    return own->rows ? mu_bench_rows_verify(own->rows, own->why, sizeof(own->why)) : MU_OK;
}

/* The oldest is waited for before the next begins. */
static enum mu_status operate(struct bench_worker *own, int operations)
{
    for (int k = 0; k < operations + own->in_flight; k++) {
        if (k >= own->in_flight && k - own->in_flight < operations)
            MU_TRY(end(own, k % own->in_flight));
        if (k < operations)
            MU_TRY(begin(own, k % own->in_flight));
    }
    if (!own->pulls)
        own->pushes += operations;
    return MU_OK;
}

/* ---- verifying ---- */

static float expected(const struct bench_worker *own, size_t index)
{
    float sum = 0;
    for (int worker = 0; worker < own->bench->options->workers; worker++)
        sum += mu_bench_gradient(worker, index);
    return (float)own->pushes * sum;
}

static enum mu_status verify(struct bench_worker *own, int slot)
{
    const float *fresh = fresh_of(own, slot);
    for (size_t i = 0; i < own->count; i++)
        if (fresh[i] != expected(own, i)) {
            mu_format(own->why, sizeof(own->why), "element %zu is %g and should be %g", i,
                (double)fresh[i], (double)expected(own, i));
            return MU_BROKEN;
        }
    return MU_OK;
}

/* Nothing of before may pass for what is pulled. */
static void forget(struct bench_worker *own, int slot_count)
{
    for (int slot = 0; slot < slot_count; slot++)
        memset(fresh_of(own, slot), 0xff, own->count * sizeof(float));
}

/* ---- embedding rows ---- */

static enum mu_status make_rows(struct bench_worker *own)
{
    const struct mu_cmd_bench_ps_options *options = own->bench->options;
    const struct mu_bench_rows_options rows = {
        .client = own->client,
        .worker = own->replica,
        .worker_count = (int)options->workers,
        .server_count = (int)options->servers,
        .in_flight_max = own->in_flight_max,
        .row_count = (size_t)options->rows,
        .width = (size_t)options->row_width,
        .batch = (size_t)options->batch,
    };
    return options->rows > 0 ? mu_bench_rows_create(&rows, &own->rows) : MU_OK;
}

/* Once all were asked for, all rows are there. */
static enum mu_status do_fill(struct bench_worker *own, int first, int count)
{
    struct mu_ps_result result;
    for (int i = first; i < first + count; i++) {
        mu_bench_rows_put_fill(own->rows, 0, i);
        MU_TRY(mu_ps_client_push(own->client, 0, gradient_of(own), 1, own->version, NULL));
        MU_TRY(mu_ps_client_wait(own->client, 0, mu_now(&own->real.world) + OPERATION_NS, &result));
        own->version = result.version;
    }
    own->pushes += count;
    return MU_OK;
}

/* The rows of those pushes, as they are now. */
static enum mu_status do_check_rows(struct bench_worker *own, int first, int count)
{
    for (int i = first; i < first + count; i++)
        MU_TRY(mu_bench_rows_check(
            own->rows, i, mu_now(&own->real.world) + OPERATION_NS, own->why, sizeof(own->why)));
    return MU_OK;
}

/* ---- what the lead asks for ---- */

static enum mu_status do_end(struct bench_worker *own)
{
    mu_bench_rows_destroy(own->rows);
    own->rows = NULL;
    mu_ps_client_destroy(own->client);
    own->client = NULL;
    mu_vectors_finish(&own->vectors);
    return MU_OK;
}

/* What is asked for is measured, or nothing is. */
static enum mu_status make_vectors(struct bench_worker *own)
{
    const struct mu_cmd_bench_ps_options *options = own->bench->options;
    bool shares = options->transport == MU_BENCH_PS_SHM;
    int64_t deadline_ns = mu_deadline(mu_now(&own->real.world), OPERATION_NS);
    return mu_ps_client_share(own->client, shares ? MU_PS_SHARE_ALWAYS : MU_PS_SHARE_NEVER,
        1 + (size_t)own->in_flight_max, deadline_ns, &own->vectors);
}

static enum mu_status do_size(struct bench_worker *own, int64_t bytes, int in_flight)
{
    own->count = (size_t)bytes / sizeof(float);
    own->in_flight_max = in_flight;
    own->version = own->pushes = 0;
    const struct mu_ps_client_options options = {
        .loop = own->loop,
        .log = own->bench->log,
        .replica = own->replica,
        .server_count = (int)own->bench->options->servers,
        .replicas = (int)own->bench->options->replicas,
        .in_flight = in_flight,
        .element_count = own->count,
        .row_width = mu_bench_row_width(own->bench),
        .row_max = (size_t)own->bench->options->batch,
    };
    MU_TRY(mu_ps_client_create(&options, &own->client));
    MU_TRY(make_rows(own));
    MU_TRY(connect_all(own));
    MU_TRY(make_vectors(own));
    float *gradient = gradient_of(own);
    for (size_t i = 0; i < own->count; i++)
        gradient[i] = mu_bench_gradient(own->replica, i);
    return MU_OK;
}

static enum mu_status do_batch(struct bench_worker *own, int operations)
{
    int used = operations < own->in_flight ? operations : own->in_flight;
    forget(own, own->pulls ? used : 0);
    own->bench->samples[own->replica].count = 0;
    int64_t began_ns = mu_now(&own->real.world);
    MU_TRY(operate(own, operations));
    int64_t took_ns = mu_now(&own->real.world) - began_ns;
    for (int slot = 0; own->pulls && slot < used; slot++)
        MU_TRY(verify(own, slot));
    fprintf(own->out, "took %lld\n", (long long)took_ns);
    return MU_OK;
}

/* All workers have done the same number of operations. */
static enum mu_status do_check(struct bench_worker *own)
{
    forget(own, 1);
    MU_TRY(mu_ps_client_pull(own->client, fresh_of(own, 0), MU_FOREVER, &own->version));
    if (own->version != own->pushes * own->bench->options->workers) {
        mu_format(own->why, sizeof(own->why), "there are %lld updates and should be %lld",
            (long long)own->version, (long long)(own->pushes * own->bench->options->workers));
        return MU_BROKEN;
    }
    return verify(own, 0);
}

static void do_op(struct bench_worker *own, const char *name, int in_flight)
{
    own->pulls = strcmp(name, "pull") == 0;
    own->in_flight = in_flight;
    if (own->rows)
        mu_bench_rows_set_in_flight(own->rows, in_flight);
}

static enum mu_status obey(struct bench_worker *own, const char *line)
{
    long long bytes;
    int count, first;
    char name[32];
    if (sscanf(line, "batch %d", &count) == 1)
        return do_batch(own, count);
    enum mu_status status = MU_PROTOCOL;
    if (sscanf(line, "size %lld %d", &bytes, &count) == 2)
        status = do_size(own, bytes, count);
    else if (sscanf(line, "op %31s %d", name, &count) == 2 && count <= own->in_flight_max) {
        do_op(own, name, count);
        status = MU_OK;
    } else if (strcmp(line, "check\n") == 0)
        status = do_check(own);
    else if (sscanf(line, "fill %d %d", &first, &count) == 2 && own->rows)
        status = do_fill(own, first, count);
    else if (sscanf(line, "rows %d %d", &first, &count) == 2 && own->rows)
        status = do_check_rows(own, first, count);
    else if (strcmp(line, "end\n") == 0)
        status = do_end(own);
    if (status == MU_OK)
        fprintf(own->out, "ready\n");
    return status;
}

static enum mu_status serve(struct bench_worker *own)
{
    char line[MU_BENCH_LINE_MAX];
    MU_TRY(mu_real_world_init(&own->real));
    MU_TRY(own->real.world.ops->loop_create(&own->real.world, &own->loop));
    own->loop->gathers = true;
    while (fgets(line, sizeof(line), own->in)) {
        enum mu_status status = obey(own, line);
        if (status != MU_OK)
            fprintf(own->out, "failed %s\n", own->why[0] ? own->why : mu_status_text(status));
        fflush(own->out);
        if (status != MU_OK)
            return status;
    }
    return MU_OK;
}

int mu_bench_worker_serve(struct mu_bench_ps *bench, int replica, int fd)
{
    struct bench_worker own = {.bench = bench, .replica = replica};
    own.in = fdopen(fd, "r");
    own.out = fdopen(dup(fd), "w");
    return mu_status_exit(serve(&own));
}
