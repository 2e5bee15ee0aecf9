/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/gradient.h"
#include "roles/sync/bad_steps.h"
#include "roles/sync/settle.h"
#include "roles/sync/sync_check.h"
#include "runtime/device/kernels.h"
#include <math.h>
#include <string.h>

/*
 * Synchronous training: every replica computes the gradient of its part of the global batch, scaled
 * by one over the global batch; the sum over the replicas is the gradient of the mean. All take the
 * same step with the same bits.
 *
 * With the gradient some extras are summed: loss, counts, whether somebody wants to stop, whether
 * the leader is going to save what this step leaves, and now and then a checksum of everybody's
 * parameters.
 */
enum { EXTRA_LOSS, EXTRA_CORRECT, EXTRA_STOP, EXTRA_SAVE, EXTRA_CHECKS };

struct sync {
    struct mu_replica *replica;
    struct mu_exchange exchange;
    struct mu_settle settle;
    struct mu_batch batch; /* of the present step, with its embedding rows */
    enum mu_status begun;  /* of the present step's exchange */
    bool checks;           /* this step */
    struct mu_bad_steps bad;
};

static enum mu_status check_at_the_end(struct sync *sync)
{
    struct mu_replica *replica = sync->replica;
    if (replica->count == 1)
        return MU_OK;
    memset(sync->exchange.extras, 0, sync->exchange.extra_count * sizeof(float));
    mu_sync_check_write(replica, sync->exchange.extras + EXTRA_CHECKS);
    MU_TRY(mu_replica_sum(replica, sync->exchange.extras, sync->exchange.extra_count));
    return mu_sync_check_compare(replica, sync->exchange.extras + EXTRA_CHECKS);
}

/* ---- a step ---- */

/* All losses are known, and backward of the last rows begins: the extras can leave. */
static void on_measured(void *owner, const struct mu_loss *loss)
{
    struct sync *sync = owner;
    float *extras = sync->exchange.extras;
    mu_bad_steps_loss(&sync->bad, loss->loss_sum);
    /* Forward has asked for all parameters; what it did not look at is settled here. */
    sync->begun = mu_settle_all(&sync->settle);
    if (sync->begun != MU_OK)
        return;
    memset(extras, 0, sync->exchange.extra_count * sizeof(float));
    extras[EXTRA_LOSS] = (float)loss->loss_sum;
    extras[EXTRA_CORRECT] = (float)loss->correct_count;
    extras[EXTRA_STOP] = mu_replica_stop_wanted(sync->replica) ? 1 : 0;
    extras[EXTRA_SAVE] = mu_replica_save_is_due(sync->replica, sync->replica->step + 1) ? 1 : 0;
    if (sync->checks)
        mu_sync_check_write(sync->replica, extras + EXTRA_CHECKS);
    sync->begun = mu_exchange_begin(&sync->exchange);
}

static void on_slice(void *owner, struct mu_span slice)
{
    struct sync *sync = owner;
    if (sync->begun == MU_OK)
        mu_bad_steps_send(&sync->bad, &sync->exchange, slice);
}

/* Forward and backward; the buckets leave on the way. */
static void compute(struct sync *sync, const struct mu_prefetch_batch *batch)
{
    struct mu_replica *replica = sync->replica;
    struct mu_loss loss;
    const struct mu_gradient_request request = {.parameters = replica->parameters.data,
        .batch = &sync->batch,
        .scale = 1.0f / (float)batch->global_count,
        .gradients = sync->exchange.gradients,
        .step = replica->step,
        .measured = on_measured,
        .ready = on_slice,
        .owner = sync};
    int64_t since = mu_now(replica->world);
    mu_replica_doing(replica, MU_DOING_COMPUTING);
    mu_bad_steps_begin(&sync->bad, sync->exchange.gradients);
    mu_gradient_compute(replica, &request, &loss);
    const struct mu_rows *rows = &sync->batch.rows;
    mu_bad_steps_rows(&sync->bad, rows->gradient, rows->count * rows->width);
    if (sync->begun == MU_OK)
        mu_bad_steps_send_last(&sync->bad, &sync->exchange);
    mu_timeline_add(&replica->timeline, MU_TIMELINE_COMPUTING, 0, replica->step + 1, since);
}

static enum mu_status await_exchange(struct sync *sync)
{
    struct mu_replica *replica = sync->replica;
    int64_t since = mu_now(replica->world);
    mu_replica_doing(replica, MU_DOING_REDUCING);
    MU_TRY(sync->begun);
    enum mu_status status = mu_exchange_finish(&sync->exchange);
    mu_timeline_add(&replica->timeline, MU_TIMELINE_WAITING, 0, replica->step + 1, since);
    return status;
}

/* Clipping looks at the whole gradient. False: its norm is no number, on any replica. */
static bool scale_of(struct sync *sync, float *ret_scale)
{
    struct mu_replica *replica = sync->replica;
    double clip = replica->job->optim.clip_norm;
    *ret_scale = 1;
    if (clip <= 0)
        return true;
    double norm =
        sqrt(mu_kernels()->square_sum(sync->exchange.gradients, replica->layout.element_count) +
             mu_own_rows_square_sum(&replica->rows));
    if (!isfinite(norm))
        return false;
    *ret_scale = mu_optim_clip_scale(clip, norm);
    return true;
}

/* What all replicas see alike. */
static enum mu_status look(
    struct sync *sync, double loss, struct mu_optim_step *step, bool *ret_used)
{
    MU_TRY(mu_bad_steps_hear(&sync->bad, &sync->exchange, ret_used));
    if (sync->replica->job->optim.clip_norm > 0)
        for (int i = 0; i < mu_exchange_count(&sync->exchange); i++)
            MU_TRY(mu_exchange_wait(&sync->exchange, i));
    *ret_used = *ret_used && isfinite(loss) && scale_of(sync, &step->gradient_scale);
    return MU_OK;
}

/* The buckets become a step of the optimizer: now, or when the next forward asks for them. */
static enum mu_status update(struct sync *sync, double rate, double loss)
{
    struct mu_replica *replica = sync->replica;
    struct mu_optim_step step = {
        .learning_rate = (float)rate,
        .weight_decay = (float)replica->job->optim.weight_decay,
        .step = replica->step + 1,
    };
    bool used;
    MU_TRY(look(sync, loss, &step, &used));
    mu_settle_begin(&sync->settle, &step, used);
    if (!used) {
        MU_TRY(mu_settle_all(&sync->settle));
        return mu_bad_steps_count(&sync->bad);
    }
    mu_bad_steps_good(&sync->bad);
    mu_own_rows_update(&replica->rows, &step);
    return sync->settle.late ? MU_OK : mu_settle_all(&sync->settle);
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
    double rate = mu_replica_learning_rate(replica);
    sync->checks = mu_sync_check_is_due(replica);
    sync->batch = batch->batch;
    MU_TRY(mu_own_rows_bring(&replica->rows, &sync->batch, replica->log));
    compute(sync, batch);
    MU_TRY(await_exchange(sync));
    mu_replica_doing(replica, MU_DOING_UPDATING);
    if (sync->checks)
        MU_TRY(mu_sync_check_compare(replica, sync->exchange.extras + EXTRA_CHECKS));

    double rows = (double)batch->global_count;
    double loss = sync->exchange.extras[EXTRA_LOSS] / rows;
    MU_TRY(update(sync, rate, loss));
    replica->step++;
    replica->steps_own++;
    replica->stopped = sync->exchange.extras[EXTRA_STOP] > 0;
    struct mu_report numbers = {
        .step = replica->step,
        .epoch = batch->epoch,
        .samples = replica->reporter.samples + (int64_t)batch->global_count,
        .loss = loss,
        .accuracy = sync->exchange.extras[EXTRA_CORRECT] / rows,
        .learning_rate = rate,
        .staleness = (double)NAN,
    };
    mu_replica_count_tasks(replica, &numbers);
    report(sync, &numbers);
    return MU_OK;
}

/* The leader has announced it with the step. */
static enum mu_status save(struct sync *sync)
{
    if (sync->exchange.extras[EXTRA_SAVE] <= 0)
        return MU_OK;
    MU_TRY(mu_settle_all(&sync->settle));
    return mu_replica_save(sync->replica, true, false);
}

static enum mu_status train_to_the_end(struct sync *sync)
{
    struct mu_replica *replica = sync->replica;
    while (replica->step < replica->steps_total && !replica->stopped) {
        const struct mu_prefetch_batch *batch;
        int64_t since = mu_now(replica->world);
        MU_TRY(mu_replica_next_batch(replica, &batch));
        mu_timeline_add(&replica->timeline, MU_TIMELINE_READING, 0, replica->step + 1, since);
        if (batch->epoch >= replica->job->train.epochs && replica->job->train.steps == 0)
            break;
        enum mu_status status = take_step(sync, batch);
        mu_prefetch_done(replica->prefetch);
        MU_TRY(status);
        MU_TRY(save(sync));
    }
    MU_TRY(mu_settle_all(&sync->settle));
    MU_TRY(check_at_the_end(sync));
    mu_replica_doing(replica, MU_DOING_SAVING);
    return mu_replica_save(replica, true, true);
}

enum mu_status mu_sync_train(struct mu_replica *replica)
{
    struct sync sync = {.replica = replica};
    size_t extras = EXTRA_CHECKS + MU_SYNC_CHECK_FLOATS * (size_t)replica->count;
    enum mu_status status = mu_bad_steps_init(&sync.bad, replica);
    if (status == MU_OK)
        status = mu_exchange_open(&sync.exchange, replica, extras);
    if (status == MU_OK) {
        mu_settle_init(&sync.settle, &sync.exchange);
        status = train_to_the_end(&sync);
    }
    replica->needs = (struct mu_slice_listener){0};
    mu_exchange_close(&sync.exchange);
    mu_bad_steps_finish(&sync.bad);
    return status;
}
