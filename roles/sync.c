/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bucket.h"
#include "roles/replica.h"
#include "runtime/base/crc32c.h"
#include "runtime/device/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Synchronous training: every replica computes the gradient of its part of the global batch, scaled
 * by one over the global batch; the sum over the replicas is the gradient of the mean. All take the
 * same step with the same bits.
 *
 *   gradient vector  | layer 0 | layer 1 | ... | last layer | extras |
 *                      <---- buckets leave from the end as backward finishes them
 *
 * The extras are summed with the first bucket: loss, counts, whether somebody wants to stop, and
 * now and then a checksum of everybody's parameters (each replica writes its own place and zeros
 * elsewhere, so the sum is a gathering, exact in float32).
 */
enum { EXTRA_LOSS, EXTRA_CORRECT, EXTRA_STOP, EXTRA_CHECKS };
#define CHECK_FLOATS 2 /* a checksum as two numbers of 16 bits */

struct sync;

struct bucket_command {
    struct mu_command command;
    struct sync *sync;
    struct mu_span span;
};

struct sync {
    struct mu_replica *replica;
    struct mu_arena gradients; /* extras included */
    float *extras;
    size_t extra_count;
    struct mu_bucketer bucketer;
    struct bucket_command *bucket; /* (buckets_max) */
    int bucket_count, buckets_max;
    int64_t bad_steps;
    bool finished;
};

/* ---- communication thread ---- */

static enum mu_status run_bucket(struct mu_command *command)
{
    struct bucket_command *bucket = command->owner;
    struct sync *sync = bucket->sync;
    struct mu_replica *replica = sync->replica;
    if (replica->failed != MU_OK)
        return replica->failed;
    int64_t since = mu_now(replica->world);
    int rank = -1;
    atomic_fetch_add_explicit(&replica->activity.collective, 1, memory_order_relaxed);
    const struct mu_request request = {.kind = MU_ALLREDUCE,
        .data = sync->gradients.data + bucket->span.first,
        .count = bucket->span.count};
    enum mu_status status = mu_group_run(
        &replica->group, &request, mu_deadline(since, replica->run->timeouts.step_ns), &rank);
    if (status == MU_OK)
        return MU_OK;
    char what[96];
    snprintf(what, sizeof(what), "all-reduce of step %lld (bucket %d)",
        (long long)replica->step + 1, (int)(bucket - sync->bucket) + 1);
    return mu_replica_blame(replica, status, rank, what, since);
}

/* ---- buckets ---- */

static void on_bucket(void *owner, struct mu_span span)
{
    struct sync *sync = owner;
    if (sync->replica->count == 1)
        return;
    assert(sync->bucket_count < sync->buckets_max);
    struct bucket_command *bucket = &sync->bucket[sync->bucket_count++];
    bucket->command = (struct mu_command){.run = run_bucket, .owner = bucket};
    bucket->sync = sync;
    bucket->span = span;
    mu_communicator_post(&sync->replica->communicator, &bucket->command);
}

static void on_slice(void *owner, struct mu_span slice)
{
    struct sync *sync = owner;
    struct mu_replica *replica = sync->replica;
    replica->world->ops->computed(replica->world, replica->step,
        MU_BACKWARD_SHARE * (double)slice.count / (double)replica->layout.element_count);
    mu_bucketer_add(&sync->bucketer, slice);
}

static enum mu_status await_buckets(struct sync *sync)
{
    enum mu_status status = MU_OK;
    for (int i = 0; i < sync->bucket_count; i++) {
        enum mu_status one =
            mu_communicator_wait(&sync->replica->communicator, &sync->bucket[i].command);
        if (status == MU_OK)
            status = one;
    }
    sync->bucket_count = 0;
    return status;
}

/* ---- are we still equal? ---- */

static void write_check(struct mu_replica *replica, float *checks)
{
    uint32_t crc =
        mu_crc32c(0, replica->parameters.data, replica->layout.element_count * sizeof(float));
    checks[CHECK_FLOATS * replica->rank] = (float)(crc & 0xffff);
    checks[CHECK_FLOATS * replica->rank + 1] = (float)(crc >> 16);
}

static int same_as(const float *checks, int count, int rank)
{
    int same = 0;
    for (int other = 0; other < count; other++)
        same += memcmp(checks + CHECK_FLOATS * rank, checks + CHECK_FLOATS * other,
                    CHECK_FLOATS * sizeof(float)) == 0;
    return same;
}

/* With a majority against it a replica can be named; otherwise nobody knows who is right. */
static enum mu_status compare_checks(struct mu_replica *replica, const float *checks)
{
    static const char help[] =
        "check the memory of the machines; the last checkpoint is from before";
    int count = replica->count, odd = -1;
    bool majority = false;
    for (int rank = 0; rank < count; rank++) {
        int same = same_as(checks, count, rank);
        majority = majority || 2 * same > count;
        if (same < count && 2 * same < count)
            odd = rank;
    }
    if (same_as(checks, count, 0) == count)
        return MU_OK;
    if (!majority)
        return mu_fail(replica->log, MU_E0701, help,
            "the parameters of the replicas are no longer equal at step %lld",
            (long long)replica->step);
    char who[MU_TASK_NAME_MAX];
    mu_task_name(&replica->spec->task[mu_spec_replica(replica->spec, odd)], who, sizeof(who));
    return mu_fail(replica->log, MU_E0701, help,
        "the parameters of %s are not those of the others at step %lld", who,
        (long long)replica->step);
}

static bool check_is_due(const struct mu_replica *replica)
{
    int64_t every = replica->job->mode.check_every;
    return replica->count > 1 && every > 0 && replica->step % every == 0;
}

static enum mu_status check_at_the_end(struct sync *sync)
{
    struct mu_replica *replica = sync->replica;
    if (replica->count == 1)
        return MU_OK;
    memset(sync->extras, 0, sync->extra_count * sizeof(float));
    write_check(replica, sync->extras + EXTRA_CHECKS);
    MU_TRY(mu_replica_sum(replica, sync->extras, sync->extra_count));
    return compare_checks(replica, sync->extras + EXTRA_CHECKS);
}

/* ---- a step ---- */

/* Forward and backward; the buckets leave on the way. */
static void compute(struct sync *sync, const struct mu_prefetch_batch *batch, bool checks)
{
    struct mu_replica *replica = sync->replica;
    const struct mu_model_ops *model = replica->job->model;
    struct mu_loss loss;
    mu_replica_doing(replica, MU_DOING_COMPUTING);
    model->forward(replica->model, replica->parameters.data, &batch->batch, &loss);
    replica->world->ops->computed(replica->world, replica->step, MU_FORWARD_SHARE);

    memset(sync->extras, 0, sync->extra_count * sizeof(float));
    sync->extras[EXTRA_LOSS] = (float)loss.loss_sum;
    sync->extras[EXTRA_CORRECT] = (float)loss.correct_count;
    sync->extras[EXTRA_STOP] = mu_replica_stop_wanted(replica) ? 1 : 0;
    if (checks)
        write_check(replica, sync->extras + EXTRA_CHECKS);

    mu_bucketer_begin(&sync->bucketer, sync->gradients.count);
    mu_bucketer_add(
        &sync->bucketer, (struct mu_span){replica->layout.element_count, sync->extra_count});
    const struct mu_slice_listener listener = {.ready = on_slice, .owner = sync};
    model->backward(replica->model, replica->parameters.data, &batch->batch,
        1.0f / (float)batch->global_count, sync->gradients.data, &listener);
    mu_bucketer_flush(&sync->bucketer);
}

/* False: the gradient cannot be used, on any replica. */
static bool update(struct sync *sync, double rate)
{
    struct mu_replica *replica = sync->replica;
    const struct mu_job *job = replica->job;
    size_t count = replica->layout.element_count;
    float scale = 1;
    if (job->optim.clip_norm > 0) {
        double norm = sqrt(mu_kernels()->square_sum(sync->gradients.data, count));
        if (!isfinite(norm))
            return false;
        scale = mu_optim_clip_scale(job->optim.clip_norm, norm);
    }
    struct mu_optim_step step = {
        .count = count,
        .parameters = replica->parameters.data,
        .gradients = sync->gradients.data,
        .learning_rate = (float)rate,
        .weight_decay = (float)job->optim.weight_decay,
        .gradient_scale = scale,
        .step = replica->step + 1,
    };
    for (int i = 0; i < job->optimizer->slot_count; i++)
        step.slots[i] = replica->slots[i].data;
    job->optimizer->step(job->optimizer_options, &step);
    return true;
}

static enum mu_status count_bad_step(struct sync *sync, double loss)
{
    struct mu_replica *replica = sync->replica;
    sync->bad_steps++;
    mu_say(replica->log, MU_LEVEL_WARN, "step %lld left out on all replicas: its loss is %g",
        (long long)replica->step + 1, loss);
    if (sync->bad_steps < replica->job->train.bad_steps_max)
        return MU_OK;
    return mu_fail(replica->log, MU_E0702, "try a lower learning rate, or optimizer.clip_norm",
        "%lld steps in a row had a loss that is not finite", (long long)sync->bad_steps);
}

static void report(struct sync *sync, const struct mu_report *numbers)
{
    struct mu_replica *replica = sync->replica;
    atomic_store_explicit(&replica->activity.samples, numbers->samples, memory_order_relaxed);
    atomic_store_explicit(&replica->activity.loss, numbers->loss, memory_order_relaxed);
    atomic_store_explicit(&replica->activity.accuracy, numbers->accuracy, memory_order_relaxed);
    mu_reporter_step(&replica->reporter, numbers);
}

static enum mu_status take_step(struct sync *sync, const struct mu_prefetch_batch *batch)
{
    struct mu_replica *replica = sync->replica;
    bool checks = check_is_due(replica);
    double rate = mu_replica_learning_rate(replica);
    compute(sync, batch, checks);
    mu_replica_doing(replica, MU_DOING_REDUCING);
    MU_TRY(await_buckets(sync));
    mu_replica_doing(replica, MU_DOING_UPDATING);
    if (checks)
        MU_TRY(compare_checks(replica, sync->extras + EXTRA_CHECKS));

    double rows = (double)batch->global_count;
    double loss = sync->extras[EXTRA_LOSS] / rows;
    if (isfinite(loss) && update(sync, rate))
        sync->bad_steps = 0;
    else
        MU_TRY(count_bad_step(sync, loss));
    replica->step++;
    replica->steps_own++;
    replica->stopped = sync->extras[EXTRA_STOP] > 0;
    const struct mu_report numbers = {
        .step = replica->step,
        .epoch = batch->epoch,
        .samples = replica->reporter.samples + (int64_t)batch->global_count,
        .loss = loss,
        .accuracy = sync->extras[EXTRA_CORRECT] / rows,
        .learning_rate = rate,
        .staleness = (double)NAN,
        .alive = replica->count,
        .tasks = replica->count,
    };
    report(sync, &numbers);
    return MU_OK;
}

static enum mu_status train_to_the_end(struct sync *sync)
{
    struct mu_replica *replica = sync->replica;
    while (replica->step < replica->steps_total && !replica->stopped) {
        const struct mu_prefetch_batch *batch;
        MU_TRY(mu_replica_next_batch(replica, &batch));
        if (batch->epoch >= replica->job->train.epochs && replica->job->train.steps == 0)
            break;
        enum mu_status status = take_step(sync, batch);
        mu_prefetch_done(replica->prefetch);
        MU_TRY(status);
        MU_TRY(mu_replica_save(replica, false));
    }
    MU_TRY(check_at_the_end(sync));
    mu_replica_doing(replica, MU_DOING_SAVING);
    return mu_replica_save(replica, true);
}

/* Every bucket but the last is full. */
static enum mu_status make_buckets(struct sync *sync)
{
    size_t buckets = sync->gradients.count / sync->bucketer.bucket_count + 1;
    sync->buckets_max = (int)buckets;
    sync->bucket = calloc(buckets, sizeof(*sync->bucket));
    return sync->bucket ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_sync_train(struct mu_replica *replica)
{
    struct sync sync = {.replica = replica};
    size_t extras = EXTRA_CHECKS + CHECK_FLOATS * (size_t)replica->count;
    size_t bucket = (size_t)replica->job->mode.bucket_bytes / sizeof(float);
    sync.extra_count = (extras + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
    sync.bucketer = (struct mu_bucketer){
        .bucket_count = bucket > 0 ? bucket : 1, .full = on_bucket, .owner = &sync};
    MU_TRY(mu_arena_init(&sync.gradients, replica->layout.element_count + sync.extra_count));
    sync.extras = sync.gradients.data + replica->layout.element_count;
    enum mu_status status = make_buckets(&sync);
    if (status == MU_OK)
        status = train_to_the_end(&sync);
    mu_arena_finish(&sync.gradients);
    free(sync.bucket);
    return status;
}
