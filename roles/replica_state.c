/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"
#include "roles/checkpoint/kept_rows.h"
#include "roles/checkpoint/residuals.h"
#include "roles/replica_servers.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the leader tells the others ---- */

/* The head of what goes around the ring; the packed positions follow. */
struct state_head {
    int64_t step, epoch, samples, position_numbers;
    int64_t resumed; /* from a checkpoint: the leader alone decides */
};

static enum mu_status broadcast(struct mu_replica *replica, void *data, size_t bytes)
{
    return mu_replica_broadcast(
        replica, mu_replica_leader(replica), data, bytes, "the broadcast of the state");
}

/* ---- loading ---- */

/* The rows of the embedding table are here, and not with servers. */
static bool trains_own_rows(const struct mu_replica *replica)
{
    return replica->rows.width > 0 && !mu_replica_uses_servers(replica);
}

static enum mu_status load_into(struct mu_replica *replica, float *const slots[],
    struct mu_given_rows *given, struct mu_manifest *ret_manifest)
{
    const struct mu_job *job = replica->job;
    struct mu_checkpoint_target target = {
        .model = job->model->name,
        .optimizer = job->optimizer->name,
        .layout = &replica->layout,
        .parameters = replica->parameters.data,
        .slot_count = job->optimizer->slot_count,
    };
    for (int i = 0; i < target.slot_count; i++) {
        target.slot_names[i] = job->optimizer->slot_names[i];
        target.slots[i] = slots[i];
    }
    if (trains_own_rows(replica)) {
        target.row_width = replica->rows.width;
        target.rows = (struct mu_row_writer){mu_own_rows_put, &replica->rows};
    } else if (given->stride > 0) {
        target.row_width = replica->async_rows.width;
        target.rows = (struct mu_row_writer){mu_kept_rows_put, given};
    }
    MU_TRY(mu_checkpoint_load(
        replica->world->store, replica->log, MU_CHECKPOINT_NEWEST, &target, ret_manifest));
    return mu_kept_rows_end(given);
}

static enum mu_status load(struct mu_replica *replica, float *const slots[],
    struct state_head *head, struct mu_manifest *ret_manifest)
{
    struct mu_given_rows given = {0};
    if (replica->async_rows.width > 0)
        MU_TRY(mu_kept_rows_open(&given, replica));
    enum mu_status status = load_into(replica, slots, &given, ret_manifest);
    mu_kept_rows_close(&given);
    MU_TRY(status);
    head->resumed = 1;
    head->step = ret_manifest->step;
    head->epoch = ret_manifest->epoch;
    head->samples = ret_manifest->samples_done;
    if (!replica->again)
        mu_say(replica->log, MU_LEVEL_INFO, "resuming from step %" PRId64 " (epoch %" PRId64 ")",
            head->step, head->epoch + 1);
    uint64_t seed = (uint64_t)replica->job->train.seed;
    if (ret_manifest->seed != seed && ret_manifest->position_count > 0)
        mu_say(replica->log, MU_LEVEL_WARN,
            "train.seed is %" PRIu64 " and was %" PRIu64 ": what is left of epoch %" PRId64
            " is drawn in another order, so some samples come twice and others not at all",
            seed, ret_manifest->seed, head->epoch + 1);
    return MU_OK;
}

/* What has been saved is loaded by who is told to resume, and when a lost server has come back. */
static bool loads(const struct mu_replica *replica)
{
    return replica->leads && (replica->run->resume || replica->again);
}

static bool has_checkpoint(const struct mu_replica *replica)
{
    return mu_task_newest(replica->world->store) >= 0;
}

/* The servers' state goes to them from here; the vectors are whole. */
struct seeding {
    struct mu_replica *replica;
    const float *vectors[1 + MU_SLOTS_MAX];
    int vector_count;
};

static enum mu_status run_seeding(struct mu_command *command)
{
    struct seeding *seeding = command->owner;
    struct mu_replica *replica = seeding->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_ps_snapshot_restore(replica->snapshot, seeding->vectors,
        seeding->vector_count, replica->step, replica->steps_total, NULL,
        mu_deadline(since, replica->run->timeouts.step_ns));
    MU_TRY(mu_replica_snapshot_ended(replica, status, "restoring the parameter servers", since));
    if (replica->job->mode.replicas > 0)
        mu_cluster_stand_by(replica->cluster);
    return MU_OK;
}

static enum mu_status seed_servers(struct mu_replica *replica, float *const slots[], bool resumed)
{
    struct seeding seeding = {.replica = replica, .vector_count = 1};
    seeding.vectors[0] = replica->parameters.data;
    if (resumed)
        for (int i = 0; i < replica->job->optimizer->slot_count; i++)
            seeding.vectors[seeding.vector_count++] = slots[i];
    return mu_communicator_do(&replica->communicator, run_seeding, &seeding);
}

/* ---- restoring ---- */

/* Steps of `sync` are those of one replica; others are made of the gradients of all. */
static int64_t steps_left(const struct mu_replica *replica)
{
    const struct mu_ps_plan *modes = &replica->modes;
    int64_t epochs = replica->job->train.epochs;
    if (modes->phase_count == 1 && modes->phase[0].mode.kind == MU_PS_SYNC)
        return mu_positions_steps_left(&replica->positions, 0, epochs);
    int64_t gradients = mu_ps_plan_gradients(modes, replica->step);
    for (int r = 0; r < replica->count; r++)
        gradients += mu_positions_steps_left(&replica->positions, r, epochs);
    return mu_ps_plan_versions(modes, gradients) - replica->step;
}

/* What is done and what these epochs have left, with the replicas and the batch of now. */
static void set_total(struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    replica->steps_total =
        job->train.steps > 0 ? job->train.steps : replica->step + steps_left(replica);
    if (!replica->leads || replica->step < replica->steps_total)
        return;
    bool by_steps = job->train.steps > 0;
    char epochs[48] = "";
    if (!by_steps)
        mu_format(epochs, sizeof(epochs), "%lld epochs in ", (long long)replica->positions.epoch);
    mu_say(replica->log, MU_LEVEL_WARN,
        "nothing is left to train: the run has done %s%lld steps, and train.%s is %lld; raise it "
        "to go on",
        epochs, (long long)replica->step, by_steps ? "steps" : "epochs",
        (long long)(by_steps ? job->train.steps : job->train.epochs));
}

static enum mu_status begin_positions(
    struct mu_replica *replica, const struct state_head *head, int64_t *numbers)
{
    struct mu_position list[MU_POSITIONS_MAX];
    int count = mu_positions_unpack(numbers, (size_t)head->position_numbers, list);
    if (count < 0)
        return mu_fail(replica->log, MU_E0404, NULL, "the data position is malformed");
    replica->step = replica->steps_begun = replica->saved_step = head->step;
    atomic_store(&replica->run->saved.whole, head->step);
    replica->steps_own = 0;
    replica->samples_own += atomic_load(&replica->activity.samples);
    atomic_store(&replica->activity.samples, 0);
    replica->samples_before = head->samples;
    mu_positions_finish(&replica->positions);
    MU_TRY(mu_positions_init(&replica->positions, (uint64_t)replica->job->train.seed,
        replica->run->data->train_facts.sample_count, replica->count,
        (int)mu_job_rows(replica->job), head->epoch, list, count));
    MU_TRY(mu_positions_set_alone(&replica->positions, replica->job->mode.warmup_epochs));
    replica->positions.empty_uncounted = mu_replica_uses_servers(replica);
    replica->modes =
        mu_job_ps_plan(replica->job, replica->count, replica->run->data->train_facts.sample_count);
    set_total(replica);
    return MU_OK;
}

/* Head and positions go around, then everybody knows where the run stands. */
static enum mu_status share_positions(
    struct mu_replica *replica, struct state_head *head, struct mu_manifest *manifest)
{
    struct mu_positions before = {.before_count = manifest->position_count};
    memcpy(before.before, manifest->positions, sizeof(before.before));
    head->position_numbers = (int64_t)mu_positions_pack(&before, NULL);
    MU_TRY(broadcast(replica, head, sizeof(*head)));
    if (head->position_numbers < 0 || head->position_numbers > MU_POSITION_NUMBERS_MAX)
        return mu_fail(replica->log, MU_E0404, NULL, "the data position is malformed");
    int64_t *numbers = calloc((size_t)head->position_numbers + 1, sizeof(*numbers));
    if (!numbers)
        return MU_NO_MEMORY;
    if (replica->leads)
        mu_positions_pack(&before, numbers);
    enum mu_status status =
        broadcast(replica, numbers, (size_t)head->position_numbers * sizeof(*numbers));
    if (status == MU_OK)
        status = begin_positions(replica, head, numbers);
    free(numbers);
    return status;
}

static enum mu_status start_saver(struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    struct mu_snapshot fixed = {
        .seed = (uint64_t)job->train.seed,
        .job_hash = job->hash,
        .run = job->name,
        .model = job->model->name,
        .optimizer = job->optimizer->name,
        .layout = &replica->layout,
        .slot_count = job->optimizer->slot_count,
    };
    for (int i = 0; i < fixed.slot_count; i++)
        fixed.slot_names[i] = job->optimizer->slot_names[i];
    replica->saved_ns = mu_now(replica->world);
    if (!replica->leads || !replica->world->store || replica->saver.world)
        return MU_OK;
    MU_TRY(mu_saver_start(&replica->saver, replica->world, replica->log, &fixed,
        (int)job->checkpoint.keep, mu_positions_memory(&replica->positions)));
    replica->saver.go_on = replica->run->go_on;
    replica->saver.saved = &replica->run->saved;
    mu_replica_status_saves(replica);
    if (trains_own_rows(replica))
        mu_saver_expect_rows(&replica->saver, replica->rows.width);
    else if (replica->async_rows.width > 0)
        mu_saver_expect_spooled_rows(&replica->saver, replica->async_rows.width);
    return MU_OK;
}

/* Synchronous: every replica has all vectors. */
static enum mu_status share_vectors(struct mu_replica *replica)
{
    size_t bytes = replica->layout.element_count * sizeof(float);
    MU_TRY(broadcast(replica, replica->parameters.data, bytes));
    for (int i = 0; i < replica->job->optimizer->slot_count; i++)
        MU_TRY(broadcast(replica, replica->slots[i].data, bytes));
    return MU_OK;
}

struct back {
    struct mu_replica *replica;
    const char *how;
};

static enum mu_status run_tell_back(struct mu_command *command)
{
    const struct back *back = command->owner;
    mu_cluster_tell_back(back->replica->cluster, back->how);
    return MU_OK;
}

static enum mu_status say_recovered(struct mu_replica *replica, const struct state_head *head)
{
    char how[128];
    int64_t seen = mu_cluster_version_seen(replica->cluster);
    int64_t lost = seen > head->step ? seen - head->step : 0;
    replica->recoveries++;
    replica->updates_lost += lost;
    snprintf(how, sizeof(how),
        "the run goes on from version %" PRId64 ", %s; updates lost: %" PRId64, head->step,
        head->resumed ? "the last checkpoint" : "its initial parameters", lost);
    struct back back = {replica, how};
    return mu_communicator_do(&replica->communicator, run_tell_back, &back);
}

static enum mu_status restore_with(
    struct mu_replica *replica, float *const slots[], struct mu_manifest *manifest)
{
    const struct mu_job *job = replica->job;
    bool async = mu_replica_uses_servers(replica);
    struct state_head head = {0};
    job->model->init(
        job->model_options, &replica->layout, (uint64_t)job->train.seed, replica->parameters.data);
    if (loads(replica) && has_checkpoint(replica))
        MU_TRY(load(replica, slots, &head, manifest));
    if (replica->again && replica->leads)
        MU_TRY(say_recovered(replica, &head));
    MU_TRY(share_positions(replica, &head, manifest));
    MU_TRY(start_saver(replica));
    if (async && replica->leads)
        MU_TRY(seed_servers(replica, slots, head.resumed));
    if (async)
        return MU_OK;
    /* Without a checkpoint all have drawn the same values. */
    if (head.resumed)
        MU_TRY(share_vectors(replica));
    return mu_residuals_open(replica, head.resumed ? manifest : NULL);
}

/* Of the generation before, if there was one: what still reads, and what is still being written. */
static void stop_reading(struct mu_replica *replica)
{
    mu_prefetch_destroy(replica->prefetch);
    replica->prefetch = NULL;
    mu_plan_finish(&replica->plan);
    if (!replica->saver.world)
        return;
    enum mu_status saved = mu_saver_drain(&replica->saver);
    (void)saved; /* it has been said, and one that was saved before will do */
}

enum mu_status mu_replica_restore(struct mu_replica *replica)
{
    struct mu_manifest manifest;
    struct mu_arena loaded[MU_SLOTS_MAX] = {0};
    float *slots[MU_SLOTS_MAX] = {0};
    enum mu_status status = MU_OK;
    bool async = mu_replica_uses_servers(replica);
    mu_replica_doing(replica, MU_DOING_STARTING);
    stop_reading(replica);
    mu_manifest_init(&manifest);
    for (int i = 0; i < replica->job->optimizer->slot_count && status == MU_OK; i++) {
        /* Asynchronous replicas hold no slots: the servers do. */
        if (async && loads(replica))
            status = mu_arena_init(&loaded[i], replica->layout.element_count);
        slots[i] = async ? loaded[i].data : replica->slots[i].data;
    }
    if (status == MU_OK)
        status = restore_with(replica, slots, &manifest);
    for (int i = 0; i < MU_SLOTS_MAX; i++)
        mu_arena_finish(&loaded[i]);
    mu_manifest_finish(&manifest);
    return status;
}

/* ---- reading ---- */

static int done_before(void *owner, int64_t epoch, struct mu_stretch *ret_done)
{
    return mu_positions_done(owner, epoch, ret_done);
}

enum mu_status mu_replica_start_reading(struct mu_replica *replica)
{
    const struct mu_dataset_facts *facts = &replica->run->data->train_facts;
    const struct mu_positions *positions = &replica->positions;
    struct mu_stretch done[MU_STRETCHES_MAX];
    MU_TRY(mu_plan_init(&replica->plan, positions->seed, facts->sample_count));
    mu_plan_set_alone(&replica->plan, positions->alone_epochs);
    mu_plan_set_block(
        &replica->plan, mu_dataset_block(replica->job->dataset, replica->job->data.shuffle));
    int done_count = mu_positions_done(positions, positions->epoch, done);
    mu_plan_begin(&replica->plan, positions->epoch, done, done_count, replica->count,
        (int)mu_job_rows(replica->job));
    const struct mu_prefetch_options options = {
        .world = replica->world,
        .ops = replica->job->dataset,
        .dataset = replica->run->data->train,
        .feature_count = facts->feature_count,
        .entry_max = facts->entry_max,
        .find_different = replica->job->model->row_width != NULL,
        .log = replica->log,
        .plan = &replica->plan,
        .replica = replica->rank,
        .depth = (int)replica->job->data.prefetch + mu_async_rows_ahead(&replica->async_rows),
        .crowded = mu_replica_is_crowded(replica),
        .done = done_before,
        .owner = &replica->positions,
    };
    return mu_prefetch_create(&options, &replica->prefetch);
}

/* ---- saving ---- */

bool mu_replica_save_is_due(const struct mu_replica *replica, int64_t step)
{
    const struct mu_job_checkpoint *rule = &replica->job->checkpoint;
    if (!replica->saver.world || step == replica->saved_step || step == replica->steps_total)
        return false; /* the last is saved anyway, and waited for */
    if (rule->every_steps > 0 &&
        step / rule->every_steps != replica->saved_step / rule->every_steps)
        return true;
    int64_t period = (int64_t)(rule->every_seconds * (double)MU_SECOND);
    return period > 0 && mu_now(replica->world) - replica->saved_ns >= period;
}

void mu_replica_describe_snapshot(
    struct mu_replica *replica, int64_t step, const int64_t *steps_since)
{
    struct mu_saver *saver = &replica->saver;
    struct mu_snapshot *snapshot = &saver->snapshot;
    replica->saved_step = step;
    replica->saved_ns = mu_now(replica->world);
    snapshot->step = step;
    snapshot->wall_ns = replica->world->ops->wall_ns(replica->world);
    snapshot->samples_done =
        replica->samples_before + mu_positions_samples(&replica->positions, steps_since);
    snapshot->position_count = mu_positions_now(
        &replica->positions, steps_since, saver->memory, saver->positions, &snapshot->epoch);
}

static enum mu_status copy_rows(struct mu_replica *replica)
{
    struct mu_saver *saver = &replica->saver;
    if (!trains_own_rows(replica))
        return MU_OK;
    enum mu_status status = mu_own_rows_save(&replica->rows, &saver->rows);
    if (status == MU_NO_MEMORY)
        mu_say(replica->log, MU_LEVEL_WARN,
            "no memory to save step %lld: the %lld embedding rows are needed twice",
            (long long)replica->step, (long long)mu_own_rows_count(&replica->rows));
    return status;
}

/* Copies what the next checkpoint is made of; the saver has been begun. NO_MEMORY: it is left out,
 * which has been said. */
static enum mu_status fill_saver(struct mu_replica *replica)
{
    struct mu_saver *saver = &replica->saver;
    size_t bytes = replica->layout.element_count * sizeof(float);
    int64_t since[MU_REPLICAS_MAX];
    for (int r = 0; r < replica->count; r++)
        since[r] = replica->step - replica->steps_begun;
    memcpy(saver->vectors[0].data, replica->parameters.data, bytes);
    for (int i = 0; i < replica->job->optimizer->slot_count; i++)
        memcpy(saver->vectors[1 + i].data, replica->slots[i].data, bytes);
    enum mu_status status = copy_rows(replica);
    if (status != MU_OK) {
        mu_saver_drop(saver);
        return status;
    }
    mu_replica_describe_snapshot(replica, replica->step, since);
    mu_saver_submit(saver);
    return MU_OK;
}

enum mu_status mu_replica_save(struct mu_replica *replica, bool due, bool wait)
{
    struct mu_saver *saver = &replica->saver;
    bool begun =
        saver->world && due && replica->saved_step != replica->step && mu_saver_begin(saver, wait);
    if (due && mu_residuals_kept(replica))
        MU_TRY(mu_residuals_gather(replica, begun));
    enum mu_status filled = begun ? fill_saver(replica) : MU_OK;
    if (!wait || !saver->world)
        return MU_OK;
    enum mu_status saved = mu_saver_end(saver);
    return filled != MU_OK ? filled : saved;
}
