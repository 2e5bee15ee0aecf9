/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/exchange.h"
#include "collectives/choose.h"
#include "collectives/order.h"
#include "collectives/shared.h"
#include "roles/timeline.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 5 /* of each way to exchange, to choose */
/* Steps that the plan of the order is made from: not the first ones, in which caches are cold. */
#define LOOK_FROM 4
#define LOOK_UNTIL 12

struct mu_exchange_bucket {
    struct mu_command command;
    struct mu_exchange *exchange;
    struct mu_span span; /* of the gradient; count 0: the extras */
    int number;
    int64_t step; /* replica->step may be ahead when it travels */
    bool taken;
    /* Seconds, over the steps that were looked at. */
    double ready_sum, exchange_sum;
};

/* ---- one bucket, on whichever thread owns the group now ---- */

static enum mu_status sum_bucket(
    struct mu_exchange_bucket *bucket, int64_t deadline_ns, int *ret_rank)
{
    struct mu_exchange *exchange = bucket->exchange;
    struct mu_replica *replica = exchange->replica;
    if (bucket->span.count > 0)
        return replica->job->compressor->allreduce(replica->compressor, &replica->group,
            bucket->span, exchange->gradients + bucket->span.first, bucket->step, deadline_ns,
            ret_rank);
    const struct mu_request extras = {
        .kind = MU_ALLREDUCE, .data = exchange->extras, .count = exchange->extra_count};
    return mu_group_run(&replica->group, &extras, deadline_ns, ret_rank);
}

static enum mu_status run_bucket(
    struct mu_exchange_bucket *bucket, int64_t *ret_since, int *ret_rank)
{
    struct mu_replica *replica = bucket->exchange->replica;
    int64_t since = *ret_since = mu_now(replica->world);
    atomic_fetch_add_explicit(&replica->activity.collective, 1, memory_order_relaxed);
    enum mu_status status =
        sum_bucket(bucket, mu_deadline(since, replica->run->timeouts.step_ns), ret_rank);
    bucket->exchange_sum += (double)(mu_now(replica->world) - since) / 1e9;
    mu_timeline_add(
        &replica->timeline, MU_TIMELINE_EXCHANGE, bucket->number, bucket->step + 1, since);
    return status;
}

static enum mu_status blame(
    struct mu_exchange_bucket *bucket, enum mu_status status, int rank, int64_t since)
{
    struct mu_replica *replica = bucket->exchange->replica;
    char what[96];
    snprintf(what, sizeof(what), "all-reduce of step %lld (bucket %d)", (long long)bucket->step + 1,
        bucket->number + 1);
    return mu_replica_blame(replica, status, rank, what, since);
}

/* ---- communication thread ---- */

static enum mu_status run_command(struct mu_command *command)
{
    struct mu_exchange_bucket *bucket = command->owner;
    MU_TRY(bucket->exchange->replica->failed);
    int64_t since;
    int rank = -1;
    enum mu_status status = run_bucket(bucket, &since, &rank);
    return status == MU_OK ? MU_OK : blame(bucket, status, rank, since);
}

/* A failure of the training thread, to be explained by the thread that owns the cluster. */
struct failure {
    struct mu_exchange_bucket *bucket;
    enum mu_status status;
    int rank;
    int64_t since;
};

static enum mu_status run_blame(struct mu_command *command)
{
    struct failure *failure = command->owner;
    MU_TRY(failure->bucket->exchange->replica->failed);
    return blame(failure->bucket, failure->status, failure->rank, failure->since);
}

/* ---- training thread ---- */

/* The loop is the communication thread's, which turns it; here we only look what it says. */
static enum mu_status look(void *owner)
{
    struct mu_replica *replica = owner;
    return (enum mu_status)atomic_load_explicit(
        &replica->communicator.cancelled, memory_order_acquire);
}

static enum mu_status run_here(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    enum mu_status status = MU_OK;
    mu_shared_set_pause(replica->group.shared, look, replica);
    for (int i = 0; i < exchange->bucket_count && status == MU_OK; i++) {
        struct failure failure = {.bucket = exchange->bucket[i], .rank = -1};
        failure.status = run_bucket(failure.bucket, &failure.since, &failure.rank);
        if (failure.status != MU_OK)
            status = mu_communicator_do(&replica->communicator, run_blame, &failure);
    }
    mu_shared_set_pause(replica->group.shared, NULL, NULL);
    return status;
}

/* A bucket has a command of its own, which stays where it is: made in the first step, used in all.
 */
static struct mu_exchange_bucket *next_bucket(struct mu_exchange *exchange)
{
    if (exchange->bucket_count == exchange->bucket_max) {
        int more = exchange->bucket_max + 1;
        struct mu_exchange_bucket **list =
            realloc(exchange->bucket, (size_t)more * sizeof(struct mu_exchange_bucket *));
        if (!list)
            return NULL;
        exchange->bucket = list;
        list[exchange->bucket_max] = calloc(1, sizeof(struct mu_exchange_bucket));
        if (!list[exchange->bucket_max])
            return NULL;
        exchange->bucket_max = more;
    }
    return exchange->bucket[exchange->bucket_count++];
}

static bool is_posted_in_order(const struct mu_exchange *exchange)
{
    return exchange->order && exchange->posted < exchange->order_count;
}

/* Hands on what is next, as far as it is ready. */
static void post_ready(struct mu_exchange *exchange)
{
    struct mu_communicator *communicator = &exchange->replica->communicator;
    while (
        is_posted_in_order(exchange) && exchange->order[exchange->posted] < exchange->bucket_count)
        mu_communicator_post(
            communicator, &exchange->bucket[exchange->order[exchange->posted++]]->command);
}

static void on_bucket(void *owner, struct mu_span span)
{
    struct mu_exchange *exchange = owner;
    struct mu_replica *replica = exchange->replica;
    if (replica->count == 1 || exchange->no_memory)
        return;
    struct mu_exchange_bucket *bucket = next_bucket(exchange);
    if (!bucket) {
        exchange->no_memory = true;
        return;
    }
    bucket->command = (struct mu_command){.run = run_command, .owner = bucket};
    bucket->exchange = exchange;
    bucket->span = span;
    bucket->number = exchange->bucket_count - 1;
    bucket->step = replica->step;
    bucket->taken = false;
    bucket->ready_sum += (double)(mu_now(replica->world) - exchange->begun_ns) / 1e9;
    if (exchange->on_training_thread)
        return;
    if (is_posted_in_order(exchange))
        post_ready(exchange);
    else
        mu_communicator_post(&replica->communicator, &bucket->command);
}

void mu_exchange_slice(void *exchange, struct mu_span slice)
{
    mu_bucketer_add(&((struct mu_exchange *)exchange)->bucketer, slice);
}

enum mu_status mu_exchange_finish(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    mu_bucketer_flush(&exchange->bucketer);
    if (exchange->no_memory)
        return mu_fail(replica->log, MU_E0801, NULL, "no memory for the buckets of a step");
    if (exchange->on_training_thread)
        return run_here(exchange);
    return exchange->bucket_count > 0 ? mu_exchange_wait(exchange, 0) : MU_OK;
}

int mu_exchange_count(const struct mu_exchange *exchange)
{
    return exchange->bucket_count;
}

struct mu_span mu_exchange_span(const struct mu_exchange *exchange, int bucket)
{
    return exchange->bucket[bucket]->span;
}

enum mu_status mu_exchange_wait(struct mu_exchange *exchange, int bucket)
{
    struct mu_exchange_bucket *it = exchange->bucket[bucket];
    return exchange->on_training_thread
               ? MU_OK
               : mu_communicator_wait(&exchange->replica->communicator, &it->command);
}

bool mu_exchange_take(struct mu_exchange *exchange, int bucket)
{
    bool taken = exchange->bucket[bucket]->taken;
    exchange->bucket[bucket]->taken = true;
    return !taken;
}

/* ---- the order ---- */

static void forget_times(struct mu_exchange *exchange)
{
    for (int i = 0; i < exchange->bucket_max; i++)
        exchange->bucket[i]->ready_sum = exchange->bucket[i]->exchange_sum = 0;
}

static enum mu_status run_share_order(struct mu_command *command)
{
    struct mu_exchange *exchange = command->owner;
    struct mu_replica *replica = exchange->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    int rank = -1;
    const struct mu_request request = {.kind = MU_BROADCAST,
        .dtype = MU_INT32,
        .wire = MU_INT32,
        .data = exchange->order,
        .count = (size_t)exchange->order_count,
        .root = replica->spec->task[replica->spec->leader].replica};
    enum mu_status status = mu_group_run(
        &replica->group, &request, mu_deadline(since, replica->run->timeouts.step_ns), &rank);
    return status == MU_OK
               ? MU_OK
               : mu_replica_blame(replica, status, rank, "planning the order of buckets", since);
}

/* The extras go first in any order. */
static void plan(struct mu_exchange *exchange, struct mu_order_bucket *times)
{
    exchange->order[0] = 0;
    for (int i = 1; i < exchange->order_count; i++)
        times[i - 1] = (struct mu_order_bucket){.first = exchange->bucket[i]->span.first,
            .ready = exchange->bucket[i]->ready_sum,
            .seconds = exchange->bucket[i]->exchange_sum};
    mu_order_plan(times, exchange->order_count - 1, exchange->order + 1);
    for (int i = 1; i < exchange->order_count; i++)
        exchange->order[i]++;
}

static enum mu_status make_order(struct mu_exchange *exchange)
{
    int count = exchange->bucket_count;
    struct mu_order_bucket *times = calloc((size_t)count + 1, sizeof(*times));
    exchange->order = calloc((size_t)count + 1, sizeof(*exchange->order));
    exchange->order_count = count;
    if (times && exchange->order && exchange->replica->leads)
        plan(exchange, times);
    bool made = times && exchange->order;
    free(times);
    if (!made)
        return mu_fail(exchange->replica->log, MU_E0801, NULL, "no memory for an order");
    return mu_communicator_do(&exchange->replica->communicator, run_share_order, exchange);
}

enum mu_status mu_exchange_begin(struct mu_exchange *exchange)
{
    exchange->steps++;
    if (exchange->plans && exchange->steps == LOOK_FROM)
        forget_times(exchange);
    if (exchange->plans && exchange->steps == LOOK_UNTIL)
        MU_TRY(make_order(exchange));
    exchange->bucket_count = exchange->posted = 0;
    exchange->begun_ns = mu_now(exchange->replica->world);
    mu_bucketer_begin(&exchange->bucketer);
    on_bucket(exchange, (struct mu_span){0});
    return MU_OK;
}

/* ---- opening ---- */

struct making {
    struct mu_exchange *exchange;
    size_t bytes;
};

static enum mu_status run_make(struct mu_command *command)
{
    struct making *making = command->owner;
    struct mu_replica *replica = making->exchange->replica;
    if (replica->group.shared)
        making->exchange->shared = mu_shared_alloc(&replica->group, making->bytes,
            mu_deadline(mu_now(replica->world), replica->run->timeouts.step_ns));
    return replica->communicator.loop->cancelled;
}

static enum mu_status make_vectors(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    size_t elements = replica->layout.element_count;
    size_t count =
        elements + (exchange->extra_count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
    struct making making = {.exchange = exchange, .bytes = count * sizeof(float)};
    if (replica->job->mode.arena)
        MU_TRY(mu_communicator_do(&replica->communicator, run_make, &making));
    if (!exchange->shared)
        MU_TRY(mu_arena_init(&exchange->own, count));
    exchange->gradients = exchange->shared ? exchange->shared : exchange->own.data;
    exchange->extras = exchange->gradients + elements;
    return MU_OK;
}

static enum mu_status run_nothing(struct mu_command *command)
{
    return command->status;
}

static double seconds_since(struct mu_replica *replica, int64_t since)
{
    return (double)(mu_now(replica->world) - since) / 1e9;
}

/* Could the buckets be summed by the training thread: does it need no event loop? */
static bool can_run_here(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    const struct mu_request whole = {
        .kind = MU_ALLREDUCE, .data = exchange->gradients, .count = replica->layout.element_count};
    if (!exchange->shared || replica->count == 1)
        return false;
    const struct mu_algorithm *algorithm = mu_choose(&replica->group, &whole);
    return algorithm && algorithm->any_thread &&
           strcmp(replica->job->compressor->name, "none") == 0;
}

static enum mu_status run_trial(struct mu_exchange *exchange, double *ret_seconds)
{
    struct mu_replica *replica = exchange->replica;
    int64_t since = mu_now(replica->world);
    MU_TRY(mu_exchange_begin(exchange));
    mu_exchange_slice(exchange, (struct mu_span){0, replica->layout.element_count});
    MU_TRY(mu_exchange_finish(exchange));
    *ret_seconds = seconds_since(replica, since);
    return MU_OK;
}

/* The least of several trials of each, the most of all replicas; so all choose alike. */
static enum mu_status choose_thread(struct mu_exchange *exchange)
{
    struct mu_replica *replica = exchange->replica;
    float least[2] = {1e9F, 1e9F};
    if (!can_run_here(exchange))
        return MU_OK;
    exchange->on_training_thread = true;
    for (int i = 0; i < TRIALS; i++) {
        double here;
        MU_TRY(run_trial(exchange, &here));
        int64_t since = mu_now(replica->world);
        MU_TRY(mu_communicator_do(&replica->communicator, run_nothing, NULL));
        double wake = seconds_since(replica, since);
        least[0] = here < least[0] ? (float)here : least[0];
        least[1] = wake < least[1] ? (float)wake : least[1];
    }
    exchange->on_training_thread = false;
    MU_TRY(mu_replica_sum(replica, least, 2));
    bool crowded = replica->world->processors < 2 * replica->count;
    exchange->on_training_thread = crowded || least[0] < least[1];
    mu_say(replica->log, MU_LEVEL_DEBUG,
        "an exchange takes %.0f us here, waking the communication thread %.0f us: gradients are "
        "summed on the %s thread",
        least[0] / (float)replica->count * 1e6F, least[1] / (float)replica->count * 1e6F,
        exchange->on_training_thread ? "training" : "communication");
    return MU_OK;
}

enum mu_status mu_exchange_open(
    struct mu_exchange *exchange, struct mu_replica *replica, size_t extra_count)
{
    const struct mu_job_mode *mode = &replica->job->mode;
    *exchange = (struct mu_exchange){.replica = replica, .extra_count = extra_count};
    exchange->bucketer =
        (struct mu_bucketer){.first_count = (size_t)mode->first_bucket_bytes / sizeof(float),
            .bucket_count = (size_t)mode->bucket_bytes / sizeof(float),
            .full = on_bucket,
            .owner = exchange};
    MU_TRY(make_vectors(exchange));
    MU_TRY(choose_thread(exchange));
    exchange->steps = 0;
    return MU_OK;
}

static enum mu_status run_free(struct mu_command *command)
{
    struct mu_exchange *exchange = command->owner;
    struct mu_replica *replica = exchange->replica;
    /* After a failure it goes with the group, when nobody computes any more. */
    if (exchange->shared && replica->failed == MU_OK)
        mu_shared_free(&replica->group, exchange->shared);
    return MU_OK;
}

void mu_exchange_close(struct mu_exchange *exchange)
{
    if (!exchange->replica)
        return;
    enum mu_status freed = mu_communicator_do(&exchange->replica->communicator, run_free, exchange);
    (void)freed;
    mu_arena_finish(&exchange->own);
    for (int i = 0; i < exchange->bucket_max; i++)
        free(exchange->bucket[i]);
    free(exchange->bucket);
    free(exchange->order);
    *exchange = (struct mu_exchange){0};
}
