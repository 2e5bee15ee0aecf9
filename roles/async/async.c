/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/async/async_save.h"
#include "roles/async/push_counts.h"
#include "roles/gradient.h"
#include "roles/replica_servers.h"
#include "roles/report/loads.h"
#include "roles/sync/bad_steps.h"
#include "runtime/device/kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Training through parameter servers: each replica pushes the gradient of its own batch to them,
 * and gets back what became of it and the fresh parameters in the same round trip. Whether that is
 * at once, or when others have pushed too, is the servers' to decide (ps/ps_mode.h). With
 * `in_flight` 1 it waits for them; with more it computes on while pushes are under way, on
 * parameters that are so much older.
 *
 *   slot 0:  compute, push ........ fresh ->  compute, push ...
 *   slot 1:            compute, push ........ fresh -> ...
 */
struct async;

struct push_slot {
    struct mu_command start, wait;
    struct async *async;
    float *gradients, *fresh; /* of the vectors */
    float scale;
    int64_t seen, batch, pushed_ns;
    struct mu_ps_client_rows rows;
    bool under_way;
    struct mu_ps_result result;
};

struct async {
    struct mu_replica *replica;
    struct push_slot *slot;
    int slot_count;
    const float *parameters; /* newest: of a slot, or the replica's */
    int64_t version;
    int64_t steps_to_do; /* of this replica */
    bool left_lost, shared_anew;
    struct mu_bad_steps bad;
    struct mu_async_save save; /* leader */
};

/* ---- communication thread ---- */

static int64_t deadline_from(const struct async *async, int64_t since_ns)
{
    return mu_deadline(since_ns, async->replica->run->timeouts.step_ns);
}

static enum mu_status run_pull(struct mu_command *command)
{
    struct async *async = command->owner;
    struct mu_replica *replica = async->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    /* Servers begin when the leader has given them their state: that may take a while. */
    enum mu_status status =
        mu_ps_client_pull(replica->client, replica->parameters.data, MU_FOREVER, &async->version);
    return mu_replica_client_ended(replica, status, "the first pull", since);
}

/* The vectors, in memory that the servers of this host see, if the job does not say otherwise. */
static enum mu_status run_make_vectors(struct mu_command *command)
{
    struct async *async = command->owner;
    struct mu_replica *replica = async->replica;
    MU_TRY(replica->failed);
    mu_cluster_tell_counts(replica->cluster, mu_push_counts_beat, replica->counts);
    static const enum mu_ps_sharing sharing[] = {[MU_MODE_ROUTE] = MU_PS_SHARE_WHERE_POSSIBLE,
        [MU_MODE_SHM] = MU_PS_SHARE_ALWAYS,
        [MU_MODE_TCP] = MU_PS_SHARE_NEVER};
    int64_t since = mu_now(replica->world);
    enum mu_status status =
        mu_ps_client_share(replica->client, sharing[replica->job->mode.transport],
            2 * (size_t)async->slot_count, deadline_from(async, since), &async->replica->vectors);
    MU_TRY(mu_replica_client_ended(replica, status, "what memory we share", since));
    mu_async_rows_share(&replica->async_rows);
    return MU_OK;
}

/* Without the server that was lost, if it was one of those that saw the vectors. */
static enum mu_status run_share_anew(struct mu_command *command)
{
    struct async *async = command->owner;
    struct mu_replica *replica = async->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_ps_client_share_anew(
        replica->client, deadline_from(async, since), &replica->vectors, &async->shared_anew);
    return mu_replica_client_ended(replica, status, "what memory we share", since);
}

static int slot_index(const struct push_slot *slot)
{
    return (int)(slot - slot->async->slot);
}

static enum mu_status run_push(struct mu_command *command)
{
    struct push_slot *slot = command->owner;
    struct mu_replica *replica = slot->async->replica;
    MU_TRY(replica->failed);
    int64_t since = slot->pushed_ns = mu_now(replica->world);
    if (slot->rows.given)
        mu_ps_client_put_rows(replica->client, slot_index(slot), &slot->rows);
    enum mu_status status = mu_ps_client_push(
        replica->client, slot_index(slot), slot->gradients, slot->scale, slot->seen, slot->fresh);
    return mu_replica_client_ended(replica, status, "a push", since);
}

/* The kind of mode that the newest parameters are of. */
static enum mu_ps_mode_kind kind_now(const struct mu_replica *replica)
{
    const struct mu_ps_plan *modes = &replica->modes;
    return modes->phase[mu_ps_plan_at(modes, replica->step)].mode.kind;
}

/* With what else a server may be waiting for before it answers. */
static const char *answer_awaited(const struct mu_replica *replica)
{
    switch (kind_now(replica)) {
    case MU_PS_SYNC:
        return "the answer to a push, which waits for the step to be complete";
    case MU_PS_BOUNDED:
        return "the answer to a push, which waits for the slowest replica";
    default:
        return "the answer to a push";
    }
}

/* Where others may hold the answer back, the leader, which sees who does not get on, is to speak
 * first: our own deadline could only name the server. */
static int64_t answer_deadline(const struct async *async, int64_t since_ns)
{
    int64_t deadline = deadline_from(async, since_ns);
    bool may_be_held = mu_ps_plan_waits(&async->replica->modes);
    return may_be_held ? mu_deadline(deadline, async->replica->run->timeouts.step_ns) : deadline;
}

static enum mu_status run_wait(struct mu_command *command)
{
    struct push_slot *slot = command->owner;
    struct async *async = slot->async;
    struct mu_replica *replica = async->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    /* The push could not even begin: there is nothing to wait for, and why has been said. */
    MU_TRY(slot->start.status);
    enum mu_status status = mu_ps_client_wait(
        replica->client, slot_index(slot), answer_deadline(async, since), &slot->result);
    if (status != MU_OK)
        return mu_replica_client_ended(replica, status, answer_awaited(replica), since);
    mu_replica_note_answer(replica, slot->pushed_ns, since);
    return MU_OK;
}

/* The state of all servers when everybody has finished: what is saved and what is evaluated. */
static enum mu_status save_the_end(struct async *async)
{
    struct mu_replica *replica = async->replica;
    mu_replica_doing(replica, MU_DOING_SAVING);
    MU_TRY(mu_async_save_last(&async->save));
    MU_TRY(mu_communicator_do(&replica->communicator, run_pull, async));
    replica->step = async->version;
    return mu_loads_end(replica);
}

/* ---- steps ---- */

/* Waits for the push of this slot; its fresh parameters are the newest then. */
static enum mu_status await_slot(struct async *async, struct push_slot *slot)
{
    struct mu_replica *replica = async->replica;
    if (!slot->under_way)
        return MU_OK;
    mu_replica_doing(replica, MU_DOING_PUSHING);
    slot->wait = (struct mu_command){.run = run_wait, .owner = slot};
    mu_communicator_post(&replica->communicator, &slot->wait);
    MU_TRY(mu_communicator_wait(&replica->communicator, &slot->wait));
    slot->under_way = false;
    mu_push_counts_add(replica->counts, &slot->result);
    if (slot->result.verdict == MU_VERDICT_REFUSE)
        mu_say(replica->log, MU_LEVEL_WARN, "the servers refused a gradient of this replica");
    async->parameters = slot->fresh;
    async->version = replica->step = slot->result.version;
    if (slot->result.verdict != MU_VERDICT_REFUSE)
        mu_async_rows_came(&replica->async_rows, slot->batch);
    return MU_OK;
}

static void on_slice(void *owner, struct mu_span slice)
{
    mu_bad_steps_slice(&((struct async *)owner)->bad, slice);
}

/* The mean gradient of this replica's rows. */
static void compute(struct async *async, struct push_slot *slot, const struct mu_batch *batch,
    struct mu_loss *ret_loss)
{
    struct mu_replica *replica = async->replica;
    const struct mu_gradient_request request = {.parameters = async->parameters,
        .batch = batch,
        .scale = 1.0f / (float)batch->row_count,
        .gradients = slot->gradients,
        .step = replica->steps_own,
        .ready = on_slice,
        .owner = async};
    mu_replica_doing(replica, MU_DOING_COMPUTING);
    mu_bad_steps_begin(&async->bad, slot->gradients);
    mu_gradient_compute(replica, &request, ret_loss);
    mu_bad_steps_loss(&async->bad, ret_loss->loss_sum);
    mu_bad_steps_rows(&async->bad, batch->rows.gradient, batch->rows.count * batch->rows.width);
}

/* Clipping by global norm: over the whole gradient, that of the embedding rows included, so here
 * and not at the servers. The gradient is one of numbers, and so is its norm: squares and sum are
 * in double. */
static float scale_of(const struct async *async, const struct push_slot *slot)
{
    const struct mu_replica *replica = async->replica;
    double clip = replica->job->optim.clip_norm;
    if (clip <= 0)
        return 1;
    double dense = mu_kernels()->square_sum(slot->gradients, replica->layout.element_count);
    return mu_optim_clip_scale(clip, sqrt(dense + mu_async_rows_square_sum(&replica->async_rows)));
}

/* Will there be a batch that is computed with the answer to the next push? */
static bool wants_rows(const struct async *async)
{
    return async->replica->steps_own + async->slot_count < async->steps_to_do;
}

/* What the servers would refuse is not even sent. */
static enum mu_status push(struct async *async, struct push_slot *slot)
{
    struct mu_replica *replica = async->replica;
    if (mu_bad_steps_any(&async->bad))
        return mu_bad_steps_count_own(&async->bad);
    mu_bad_steps_good(&async->bad);
    slot->scale = scale_of(async, slot);
    slot->seen = async->version;
    slot->batch = replica->steps_own;
    MU_TRY(mu_async_rows_of_push(
        &replica->async_rows, slot_index(slot), wants_rows(async), &slot->rows));
    slot->under_way = true;
    slot->start = (struct mu_command){.run = run_push, .owner = slot};
    mu_communicator_post(&replica->communicator, &slot->start);
    return MU_OK;
}

static void report(struct async *async, const struct mu_prefetch_batch *batch, double loss,
    double accuracy, double staleness)
{
    struct mu_replica *replica = async->replica;
    struct mu_activity *activity = &replica->activity;
    int64_t own = atomic_load_explicit(&activity->samples, memory_order_relaxed) +
                  (int64_t)batch->batch.row_count;
    atomic_store_explicit(&activity->samples, own, memory_order_relaxed);
    atomic_store_explicit(&activity->loss, loss, memory_order_relaxed);
    atomic_store_explicit(&activity->accuracy, accuracy, memory_order_relaxed);
    /* What a version is made of, about; exact counts are summed at the end. */
    int64_t gradients = mu_ps_plan_counted(&replica->modes, replica->step) -
                        mu_ps_plan_counted(&replica->modes, replica->steps_begun);
    struct mu_report numbers = {
        .step = replica->step,
        .epoch = batch->epoch,
        .samples = mu_push_counts_samples_before(replica) + gradients * mu_job_rows(replica->job),
        .loss = loss,
        .accuracy = accuracy,
        .learning_rate = mu_replica_learning_rate(replica),
        .staleness = staleness,
        .verdicts = replica->counts->verdicts,
    };
    mu_replica_count_tasks(replica, &numbers);
    mu_reporter_step(&replica->reporter, &numbers);
    mu_loads_note(replica);
}

static struct push_slot *next_slot(struct async *async)
{
    return &async->slot[async->replica->steps_own % async->slot_count];
}

/* The next slot is free. */
static enum mu_status take_step(struct async *async, const struct mu_prefetch_batch *batch)
{
    struct mu_replica *replica = async->replica;
    struct push_slot *slot = next_slot(async);
    size_t rows = batch->batch.row_count;
    struct mu_loss loss = {0};
    double staleness = (double)slot->result.staleness;
    if (rows > 0) {
        compute(async, slot, &batch->batch, &loss);
        MU_TRY(push(async, slot));
    }
    replica->steps_own++;
    if (rows > 0)
        report(async, batch, loss.loss_sum / (double)rows,
            (double)loss.correct_count / (double)rows, staleness);
    MU_TRY(mu_async_save_end(&async->save));
    return mu_replica_save_is_due(replica, replica->step) ? mu_async_save_start(&async->save)
                                                          : MU_OK;
}

/* A lost server may only have been stopped, and write an answer to where it was wanted once: from
 * here on that is nowhere. What is in the vectors by now is not trusted either. */
static enum mu_status leave_lost(struct async *async)
{
    struct mu_replica *replica = async->replica;
    if (async->left_lost || atomic_load(&replica->gone_ns) == 0)
        return MU_OK;
    async->left_lost = true;
    for (int i = 0; i < async->slot_count; i++)
        MU_TRY(await_slot(async, &async->slot[(replica->steps_own + i) % async->slot_count]));
    MU_TRY(mu_communicator_do(&replica->communicator, run_share_anew, async));
    if (!async->shared_anew)
        return MU_OK;
    MU_TRY(mu_communicator_do(&replica->communicator, run_pull, async));
    async->parameters = replica->parameters.data;
    replica->step = async->version;
    mu_async_rows_forget(&replica->async_rows);
    return MU_OK;
}

/* ---- the end ---- */

static enum mu_status run_leave(struct mu_command *command)
{
    struct async *async = command->owner;
    struct mu_replica *replica = async->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_ps_client_leave(replica->client, deadline_from(async, since));
    return mu_replica_client_ended(replica, status, "the answer to the last pull", since);
}

/* Everybody has finished its pushes when this returns OK, and knows the counts of all. */
static enum mu_status meet_at_the_end(struct async *async)
{
    struct mu_replica *replica = async->replica;
    mu_replica_doing(replica, MU_DOING_ENDING);
    MU_TRY(mu_communicator_do(&replica->communicator, run_leave, async));
    return mu_push_counts_share(replica, replica->counts);
}

/* In a synchronous step a replica may push nothing that counts: such a run ends by its steps. */
static bool has_more(const struct async *async)
{
    const struct mu_replica *replica = async->replica;
    bool ends_by_steps = kind_now(replica) == MU_PS_SYNC;
    return replica->steps_own < async->steps_to_do && !replica->stopped &&
           !(ends_by_steps && replica->step >= replica->steps_total);
}

static enum mu_status train_to_the_end(struct async *async)
{
    struct mu_replica *replica = async->replica;
    MU_TRY(mu_communicator_do(&replica->communicator, run_pull, async));
    replica->step = async->version;
    for (;;) {
        const struct mu_prefetch_batch *batch;
        /* Its answer, or the pull after a loss, may bring the version that ends the run. */
        MU_TRY(await_slot(async, next_slot(async)));
        MU_TRY(leave_lost(async));
        if (!has_more(async))
            break;
        MU_TRY(mu_async_rows_next(&replica->async_rows, slot_index(next_slot(async)), &batch));
        enum mu_status status = take_step(async, batch);
        mu_async_rows_done(&replica->async_rows);
        MU_TRY(status);
        replica->stopped = mu_replica_stop_wanted(replica);
        if (wants_rows(async))
            MU_TRY(mu_async_rows_prepare(&replica->async_rows));
    }
    for (int i = 0; i < async->slot_count; i++)
        MU_TRY(await_slot(async, &async->slot[i]));
    MU_TRY(meet_at_the_end(async));
    return replica->leads ? save_the_end(async) : MU_OK;
}

/* ---- life ---- */

static enum mu_status make_slots(struct async *async)
{
    struct mu_replica *replica = async->replica;
    async->slot_count = (int)replica->job->mode.in_flight;
    async->slot = calloc((size_t)async->slot_count, sizeof(*async->slot));
    if (!replica->counts)
        replica->counts = calloc(1, sizeof(*replica->counts));
    if (!async->slot || !replica->counts)
        return MU_NO_MEMORY;
    MU_TRY(mu_async_save_init(&async->save, replica));
    MU_TRY(mu_communicator_do(&replica->communicator, run_make_vectors, async));
    for (int i = 0; i < async->slot_count; i++)
        async->slot[i] = (struct push_slot){.async = async,
            .gradients = mu_vectors_at(&async->replica->vectors, 2 * (size_t)i),
            .fresh = mu_vectors_at(&async->replica->vectors, 2 * (size_t)i + 1)};
    return MU_OK;
}

enum mu_status mu_async_train(struct mu_replica *replica)
{
    struct async async = {.replica = replica,
        .parameters = replica->parameters.data,
        .steps_to_do = mu_replica_own_gradients(replica)};
    enum mu_status status = mu_bad_steps_init(&async.bad, replica);
    if (status == MU_OK)
        status = make_slots(&async);
    if (status == MU_OK)
        status = train_to_the_end(&async);
    /* The client writes into the slots until it is closed, a snapshot into the saver's buffer. */
    if (status != MU_OK)
        mu_replica_let_go(replica, status);
    mu_async_save_finish(&async.save);
    mu_async_rows_drop(&replica->async_rows);
    if (status != MU_OK)
        mu_vectors_finish(&replica->vectors);
    mu_bad_steps_finish(&async.bad);
    free(async.slot);
    return status;
}
