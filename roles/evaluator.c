/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint.h"
#include "roles/evaluate.h"
#include "roles/own_rows.h"
#include "roles/task_cluster.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log_quiet.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"
#include "runtime/tensor/layout.h"
#include "watch/event_file.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/*
 * Follows the checkpoints and says how good each is. It never joins the group: its link to the
 * leader only tells it when the run is over, or lost, and nobody waits for it. Asked to stop, it
 * leaves; unless all are asked, which the leader says soon: then it sees the run to its end.
 */
#define LOOK_EVERY_NS (200 * MU_MS)
#define ASKED_ALONE_NS MU_SECOND
#define EVALUATION_ROWS 250

struct evaluator {
    struct mu_task_run *run;
    struct mu_loop *loop;
    struct mu_cluster *cluster;
    struct mu_activity activity;
    struct mu_layout layout;
    struct mu_device *device;
    void *model;
    struct mu_arena parameters;
    struct mu_own_rows rows;
    struct mu_event_file *events;
    int64_t seen;     /* the newest step that was evaluated */
    int64_t asked_ns; /* when a request to stop was first seen; 0: none was */
    /* The entries after it when the newest was found damaged: they are not tried again. */
    bool is_damaged;
    uint32_t damaged_crc32c;
};

static enum mu_status prepare(struct evaluator *evaluator)
{
    struct mu_task_run *run = evaluator->run;
    const struct mu_job *job = run->job;
    const struct mu_dataset_facts *facts = &run->data->test_facts;
    MU_TRY(job->model->layout(job->model_options, facts, run->log, &evaluator->layout));
    MU_TRY(mu_device_create(job->train.device, run->log, &evaluator->device));
    MU_TRY(job->model->create(job->model_options, &evaluator->layout, evaluator->device,
        EVALUATION_ROWS, &evaluator->model));
    MU_TRY(mu_own_rows_open_for_eval(&evaluator->rows, job, facts, EVALUATION_ROWS, run->log));
    MU_TRY(mu_arena_init(&evaluator->parameters, evaluator->layout.element_count));
    return run->out_dir ? mu_task_events_open(run, -1, &evaluator->events) : MU_OK;
}

/* To the log, and to the event file. */
static void report(
    struct evaluator *evaluator, int64_t step, const struct mu_evaluation *evaluation)
{
    struct mu_task_run *run = evaluator->run;
    char auc[32] = "";
    bool has_auc = !isnan(evaluation->auc);
    if (has_auc)
        mu_format(auc, sizeof(auc), ", test AUC %.4f", evaluation->auc);
    mu_say(run->log, MU_LEVEL_INFO, "step %" PRId64 ": test loss %.4f, test accuracy %.2f %%%s",
        step, evaluation->loss, 100 * evaluation->accuracy, auc);
    if (!evaluator->events)
        return;
    int64_t wall = run->world->ops->wall_ns(run->world);
    /* The first of this life: an earlier one may have been further when the run went back. */
    if (evaluator->seen < 0)
        mu_event_file_go_on(evaluator->events, wall, step - 1);
    mu_event_file_scalar(evaluator->events, wall, step, "eval/loss", (float)evaluation->loss);
    mu_event_file_scalar(
        evaluator->events, wall, step, "eval/accuracy", (float)evaluation->accuracy);
    if (has_auc)
        mu_event_file_scalar(evaluator->events, wall, step, "eval/auc", (float)evaluation->auc);
}

/* ---- what is new ---- */

struct listing {
    int64_t numbers[MU_CHECKPOINTS_MAX];
    size_t count;
    uint32_t manifest_crc32c; /* of the newest: one that is saved again has another */
};

static void list(struct mu_store *store, struct listing *ret_listing)
{
    struct mu_log quiet = mu_log_quiet();
    void *text = NULL;
    size_t bytes = 0;
    size_t count = store->ops->list(store, ret_listing->numbers, MU_CHECKPOINTS_MAX);
    count = count < MU_CHECKPOINTS_MAX ? count : MU_CHECKPOINTS_MAX;
    ret_listing->count = count;
    ret_listing->manifest_crc32c = 0;
    if (count == 0 || store->ops->get(store, &quiet, ret_listing->numbers[count - 1],
                          MU_MANIFEST_NAME, MU_JSON_BYTES_MAX, &text, &bytes) != MU_OK)
        return;
    ret_listing->manifest_crc32c = mu_crc32c(0, text, bytes);
    free(text);
}

/* Tells one set of entries after `step` from another; older ones may be dropped meanwhile. */
static uint32_t crc_after(const struct listing *listing, int64_t step)
{
    size_t first = listing->count;
    while (first > 0 && listing->numbers[first - 1] > step)
        first--;
    return mu_crc32c(listing->manifest_crc32c, listing->numbers + first,
        (listing->count - first) * sizeof(*listing->numbers));
}

static bool is_new(const struct evaluator *evaluator, const struct listing *listing)
{
    if (listing->count == 0 || listing->numbers[listing->count - 1] <= evaluator->seen)
        return false;
    return !evaluator->is_damaged ||
           crc_after(listing, evaluator->seen) != evaluator->damaged_crc32c;
}

/* ---- how good it is ---- */

static enum mu_status judge(struct evaluator *evaluator, int64_t step)
{
    struct mu_task_run *run = evaluator->run;
    struct mu_evaluation evaluation;
    const struct mu_evaluated evaluated = {.job = run->job,
        .data = run->data,
        .log = run->log,
        .model = evaluator->model,
        .row_max = EVALUATION_ROWS,
        .parameters = evaluator->parameters.data,
        .rows = {.look = mu_own_rows_look, .owner = &evaluator->rows}};
    MU_TRY(mu_evaluate(&evaluated, &evaluation));
    report(evaluator, step, &evaluation);
    evaluator->seen = step;
    return MU_OK;
}

/* A newest one that is damaged is tried, and said, once; the one before it may be known already. */
static enum mu_status evaluate(struct evaluator *evaluator, const struct listing *listing)
{
    const struct mu_task_run *run = evaluator->run;
    const struct mu_checkpoint_target target = {.model = run->job->model->name,
        .layout = &evaluator->layout,
        .parameters = evaluator->parameters.data,
        .row_width = evaluator->rows.width,
        .rows = {mu_own_rows_put, &evaluator->rows}};
    struct mu_manifest manifest;
    int64_t newest = listing->numbers[listing->count - 1];
    mu_activity_set(&evaluator->activity, MU_DOING_EVALUATING, newest, mu_now(run->world));
    if (mu_own_rows_clear(&evaluator->rows) != MU_OK)
        return mu_fail(run->log, MU_E0801, NULL, "no memory for an embedding table");
    enum mu_status status = mu_checkpoint_read_for_eval(
        run->world->store, run->log, MU_CHECKPOINT_NEWEST, &target, &manifest);
    /* It may have been dropped for a newer one in the meantime: then that will be seen. */
    if (status == MU_NO_INPUT)
        return MU_OK;
    MU_TRY(status);
    int64_t step = manifest.step;
    mu_manifest_finish(&manifest);
    if (step > evaluator->seen)
        MU_TRY(judge(evaluator, step));
    evaluator->is_damaged = step < newest;
    evaluator->damaged_crc32c = crc_after(listing, evaluator->seen);
    return MU_OK;
}

/* True: there was a newer checkpoint, and it was looked at. */
static enum mu_status look(struct evaluator *evaluator, bool *ret_new)
{
    struct listing listing;
    list(evaluator->run->world->store, &listing);
    *ret_new = is_new(evaluator, &listing);
    return *ret_new ? evaluate(evaluator, &listing) : MU_OK;
}

/* Once, so that it shows since when. */
static void note_following(struct evaluator *evaluator)
{
    int64_t step = evaluator->seen > 0 ? evaluator->seen : 0;
    if (atomic_load(&evaluator->activity.doing) != MU_DOING_FOLLOWING)
        mu_activity_set(
            &evaluator->activity, MU_DOING_FOLLOWING, step, mu_now(evaluator->run->world));
}

/* Also between two evaluations without a pause: the others are to hear of us. */
static void turn(struct evaluator *evaluator, int64_t most_ns)
{
    enum mu_status turned =
        evaluator->loop->ops->turn(evaluator->loop, mu_now(evaluator->run->world) + most_ns);
    (void)turned; /* whether something ran shows in what has changed */
}

static bool is_asked_alone(struct evaluator *evaluator)
{
    struct mu_world *world = evaluator->run->world;
    if (!mu_stop_requested(world) || mu_cluster_stop_wanted(evaluator->cluster))
        return false;
    if (evaluator->asked_ns == 0)
        evaluator->asked_ns = mu_now(world);
    return mu_now(world) - evaluator->asked_ns >= ASKED_ALONE_NS;
}

static enum mu_status follow(struct evaluator *evaluator)
{
    const bool *over = mu_cluster_over(evaluator->cluster);
    for (;;) {
        bool was_over = *over, found;
        if (!was_over && is_asked_alone(evaluator)) {
            mu_cluster_goodbye(evaluator->cluster, MU_PREEMPTED, "it was asked to stop");
            return MU_PREEMPTED;
        }
        MU_TRY(look(evaluator, &found));
        if (found) {
            turn(evaluator, 0);
            continue;
        }
        if (was_over)
            return mu_cluster_over_status(evaluator->cluster);
        if (evaluator->loop->cancelled != MU_OK)
            return evaluator->loop->cancelled;
        note_following(evaluator);
        turn(evaluator, LOOK_EVERY_NS);
    }
}

static enum mu_status run_evaluator(struct evaluator *evaluator)
{
    struct mu_task_run *run = evaluator->run;
    if (!run->world->store)
        return mu_fail(run->log, MU_E0204, "give it the run directory of the chief with --out",
            "the evaluator has no checkpoints to follow");
    MU_TRY(prepare(evaluator));
    mu_activity_set(&evaluator->activity, MU_DOING_STARTING, 0, mu_now(run->world));
    enum mu_status status = mu_task_join(run, evaluator->loop, mu_layout_crc32c(&evaluator->layout),
        &evaluator->activity, &evaluator->cluster);
    if (status == MU_OK)
        return follow(evaluator);
    /* The run may have ended before we came: its last checkpoint is there. */
    bool found = false;
    if (status == MU_UNAVAILABLE)
        MU_TRY(look(evaluator, &found));
    if (found)
        mu_say(run->log, MU_LEVEL_INFO,
            "nobody trains: the last checkpoint that a run has left here was evaluated");
    return found ? MU_OK : status;
}

enum mu_status mu_evaluator_run(struct mu_task_run *run)
{
    struct evaluator evaluator = {.run = run, .seen = -1};
    MU_TRY(run->world->ops->loop_create(run->world, &evaluator.loop));
    enum mu_status status = run_evaluator(&evaluator);
    if (evaluator.cluster && status != MU_OK && status != MU_PREEMPTED)
        mu_cluster_goodbye(evaluator.cluster, status, run->log->first_text);
    mu_event_file_close(evaluator.events);
    mu_cluster_destroy(evaluator.cluster);
    evaluator.loop->ops->destroy(evaluator.loop);
    run->job->model->destroy(evaluator.model);
    mu_device_destroy(evaluator.device);
    mu_own_rows_close(&evaluator.rows);
    mu_arena_finish(&evaluator.parameters);
    return status;
}
