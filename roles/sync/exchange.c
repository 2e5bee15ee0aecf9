/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared.h"
#include "roles/sync/exchange_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who has entered the fewest is behind. */
static void count_collective(struct mu_replica *replica)
{
    atomic_fetch_add_explicit(&replica->activity.collective, 1, memory_order_relaxed);
}

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

enum mu_status mu_exchange_sum(struct mu_exchange_bucket *bucket, int64_t *ret_since, int *ret_rank)
{
    struct mu_replica *replica = bucket->exchange->replica;
    int64_t since = *ret_since = mu_now(replica->world);
    count_collective(replica);
    enum mu_status status =
        sum_bucket(bucket, mu_deadline(since, replica->run->timeouts.step_ns), ret_rank);
    bucket->exchange_sum += (double)(mu_now(replica->world) - since) / 1e9;
    if (bucket->exchange->open)
        mu_timeline_add(
            &replica->timeline, MU_TIMELINE_EXCHANGE, bucket->number, bucket->step + 1, since);
    return status;
}

enum mu_status mu_exchange_blame(
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
    enum mu_status status = mu_exchange_sum(bucket, &since, &rank);
    return status == MU_OK ? MU_OK : mu_exchange_blame(bucket, status, rank, since);
}

/* ---- training thread ---- */

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
        return mu_exchange_thread_run(exchange);
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

/* Parameters are updated, and used, bucket by bucket. Who waits for the next is waiting for the
 * others, whatever it does in between, and is not who does not get on. */
enum mu_status mu_exchange_wait(struct mu_exchange *exchange, int bucket)
{
    struct mu_replica *replica = exchange->replica;
    if (exchange->on_training_thread)
        return MU_OK;
    int doing = atomic_load_explicit(&replica->activity.doing, memory_order_relaxed);
    mu_replica_doing(replica, MU_DOING_REDUCING);
    enum mu_status status =
        mu_communicator_wait(&replica->communicator, &exchange->bucket[bucket]->command);
    mu_replica_doing(replica, (enum mu_doing)doing);
    return status;
}

bool mu_exchange_take(struct mu_exchange *exchange, int bucket)
{
    bool taken = exchange->bucket[bucket]->taken;
    exchange->bucket[bucket]->taken = true;
    return !taken;
}

enum mu_status mu_exchange_begin(struct mu_exchange *exchange)
{
    MU_TRY(mu_exchange_order_step(exchange));
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
    if (!replica->group.shared)
        return replica->communicator.loop->cancelled;
    int64_t since = mu_now(replica->world);
    count_collective(replica);
    making->exchange->shared = mu_shared_alloc(
        &replica->group, making->bytes, mu_deadline(since, replica->run->timeouts.step_ns));
    enum mu_status status = mu_shared_failed(&replica->group);
    return status == MU_OK
               ? replica->communicator.loop->cancelled
               : mu_replica_blame(replica, status, -1, "sharing memory for the gradients", since);
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
    MU_TRY(mu_exchange_thread_choose(exchange));
    exchange->steps = 0;
    exchange->open = true;
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
