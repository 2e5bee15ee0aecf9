/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/replica.h"
#include "roles/async/push_counts.h"
#include "roles/evaluate.h"
#include "roles/report/status_keeper.h"
#include "runtime/tensor/layout.h"
#include <stdlib.h>
#include <string.h>

/* ---- preparing ---- */

static enum mu_status make_model(struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    struct mu_dataset_facts facts = replica->run->data->train_facts;
    facts.entry_max = mu_task_entry_max(replica->run->data);
    facts.id_count = mu_task_id_count(replica->run->data);
    MU_TRY(job->model->layout(job->model_options, &facts, replica->log, &replica->layout));
    MU_TRY(mu_device_create(job->train.device, replica->log, &replica->device));
    MU_TRY(job->model->create(job->model_options, &replica->layout, replica->device,
        (size_t)job->data.batch, &replica->model));
    if (mu_replica_uses_servers(replica))
        MU_TRY(mu_async_rows_open(&replica->async_rows, replica));
    else
        MU_TRY(
            mu_own_rows_open(&replica->rows, job, &facts, (size_t)job->data.batch, replica->log));
    MU_TRY(mu_arena_init(&replica->parameters, replica->layout.element_count));
    if (job->data.accumulate > 1)
        MU_TRY(mu_arena_init(&replica->accumulated, replica->layout.element_count));
    if (!mu_replica_uses_servers(replica))
        for (int i = 0; i < job->optimizer->slot_count; i++)
            MU_TRY(mu_arena_init(&replica->slots[i], replica->layout.element_count));
    return MU_OK;
}

static void init(struct mu_replica *replica, struct mu_task_run *run)
{
    *replica = (struct mu_replica){
        .run = run,
        .world = run->world,
        .log = run->log,
        .job = run->job,
        .spec = run->spec,
        .rank = run->spec->task[run->spec->self].replica,
        .count = run->spec->replica_count,
        .leads = run->spec->self == run->spec->leader,
    };
    mu_replica_doing(replica, MU_DOING_STARTING);
}

static void finish(struct mu_replica *replica)
{
    mu_prefetch_destroy(replica->prefetch);
    mu_saver_stop(&replica->saver);
    mu_reporter_close(&replica->reporter);
    free(replica->task_summaries);
    free(replica->counts);
    free(replica->server_summaries);
    free(replica->task_counts);
    mu_timeline_close(&replica->timeline);
    mu_plan_finish(&replica->plan);
    mu_positions_finish(&replica->positions);
    replica->job->model->destroy(replica->model);
    mu_device_destroy(replica->device);
    for (int i = 0; i < MU_SLOTS_MAX; i++)
        mu_arena_finish(&replica->slots[i]);
    mu_own_rows_close(&replica->rows);
    mu_async_rows_close(&replica->async_rows);
    mu_arena_finish(&replica->residual);
    mu_arena_finish(&replica->accumulated);
    mu_arena_finish(&replica->parameters);
    mu_vectors_finish(&replica->vectors);
}

/* ---- for both ways to train ---- */

enum mu_status mu_replica_next_batch(
    struct mu_replica *replica, const struct mu_prefetch_batch **ret_batch)
{
    mu_replica_doing(replica, MU_DOING_READING);
    int64_t deadline = mu_deadline(mu_now(replica->world), replica->run->timeouts.step_ns);
    enum mu_status status = mu_prefetch_next(replica->prefetch, deadline, ret_batch);
    if (status == MU_TIMEOUT)
        return mu_fail(replica->log, MU_E0501, "is the file system of the data slow or gone?",
            "no batch could be read in time");
    return status;
}

double mu_replica_learning_rate(const struct mu_replica *replica)
{
    return mu_job_rate(replica->job, replica->step, replica->steps_total);
}

void mu_replica_count_tasks(const struct mu_replica *replica, struct mu_report *report)
{
    report->tasks = replica->count + replica->spec->ps_count;
    report->alive = report->tasks - (atomic_load(&replica->gone_ns) != 0);
}

/* ---- the run ---- */

/* From this step on the servers of this generation count. */
static void note_servers(struct mu_replica *replica)
{
    struct mu_status_keeper *status = replica->run->status;
    if (!status)
        return;
    mu_status_keeper_enter(status)->servers_since = replica->step;
    mu_status_keeper_leave(status, false);
}

static enum mu_status open_reporter(struct mu_replica *replica)
{
    note_servers(replica);
    if (replica->reporter.run)
        return mu_reporter_go_back(&replica->reporter, replica->step, replica->steps_total,
            mu_push_counts_samples_before(replica));
    return mu_reporter_open(&replica->reporter, replica->run, replica->leads,
        replica->run->resume ? replica->step : -1, replica->steps_total,
        replica->last_start_wall_ns, replica->samples_before);
}

static enum mu_status train(struct mu_replica *replica)
{
    MU_TRY(mu_replica_restore(replica));
    MU_TRY(open_reporter(replica));
    if (replica->leads && replica->run->out_dir && !mu_replica_uses_servers(replica))
        MU_TRY(mu_timeline_open(
            &replica->timeline, replica->world, replica->step, replica->job->log.timeline_steps));
    MU_TRY(mu_replica_start_reading(replica));
    return mu_replica_uses_servers(replica) ? mu_async_train(replica) : mu_sync_train(replica);
}

/* Of all parameters, like in the manifest of a checkpoint. */
static enum mu_status sum_parameters(const struct mu_replica *replica, uint32_t *ret_crc)
{
    uint32_t crc = mu_layout_crc32c_of(&replica->layout, replica->parameters.data);
    enum mu_status status = mu_own_rows_crc32c(&replica->rows, &crc);
    *ret_crc = status == MU_OK ? crc : 0;
    return status == MU_OK
               ? MU_OK
               : mu_fail(replica->log, MU_E0801, NULL, "no memory for the checksum of %lld rows",
                     (long long)mu_own_rows_count(&replica->rows));
}

static struct mu_row_source row_source(struct mu_replica *replica)
{
    if (mu_replica_uses_servers(replica))
        return (struct mu_row_source){mu_async_rows_look, &replica->async_rows};
    return (struct mu_row_source){mu_own_rows_look, &replica->rows};
}

/* -1: the model has no embedding table. */
static int64_t row_count(const struct mu_replica *replica)
{
    if (!replica->job->model->row_width || !mu_replica_uses_servers(replica))
        return mu_own_rows_count(&replica->rows);
    return mu_ps_client_row_count(replica->client);
}

/* How far the run came, and what it lost on the way. */
static void sum_up(struct mu_replica *replica)
{
    struct mu_summary *summary = &replica->reporter.summary;
    summary->steps = replica->step;
    summary->epochs = mu_positions_epoch(&replica->positions, replica->rank, replica->steps_own);
    summary->recoveries = replica->recoveries;
    summary->updates_lost = replica->updates_lost;
    if (!replica->took_over)
        return;
    summary->takeover_seconds = replica->takeover_seconds;
    summary->takeover_silence_seconds = replica->silence_seconds;
}

static void say_stopped(struct mu_replica *replica)
{
    char go_on[MU_CLUSTER_GO_ON_MAX];
    mu_go_on_say(replica->run->go_on, go_on, sizeof(go_on));
    mu_say(
        replica->log, MU_LEVEL_INFO, "stopped at step %lld; %s", (long long)replica->step, go_on);
}

/* What the leader says and writes at the end; the others are still there. */
static enum mu_status close_run(struct mu_replica *replica, enum mu_status status)
{
    struct mu_summary *summary = &replica->reporter.summary;
    struct mu_evaluation evaluation;
    mu_replica_doing(replica, MU_DOING_EVALUATING);
    const struct mu_evaluated evaluated = {.job = replica->job,
        .data = replica->run->data,
        .log = replica->log,
        .model = replica->model,
        .row_max = (size_t)replica->job->data.batch,
        .parameters = replica->parameters.data,
        .rows = row_source(replica)};
    MU_TRY(mu_evaluate(&evaluated, &evaluation));
    summary->test_accuracy = evaluation.accuracy;
    summary->test_loss = evaluation.loss;
    summary->test_auc = evaluation.auc;
    summary->embedding_rows = row_count(replica);
    if (replica->compressor)
        summary->exchange_bytes =
            (int64_t)replica->job->compressor->sent_bytes(replica->compressor);
    MU_TRY(sum_parameters(replica, &summary->parameters_crc32c));
    /* Rows that servers keep are not here, but what was saved at the end is this state. */
    if (replica->saver.snapshot.runs)
        summary->parameters_crc32c = replica->saver.parameters_crc32c;
    sum_up(replica);
    if (replica->stopped && replica->run->go_on)
        say_stopped(replica);
    if (replica->timeline.open) {
        char path[1024];
        mu_format(path, sizeof(path), "%s/timeline.json", replica->run->out_dir);
        MU_TRY(mu_timeline_write(&replica->timeline, replica->log, path));
    }
    replica->closed = true;
    return mu_reporter_finish(&replica->reporter, status);
}

/* A run that ends while it waits for servers has no step any more that could say who is alive. */
static void count_awaited(struct mu_replica *replica)
{
    struct mu_progress *progress = &replica->reporter.progress;
    for (int i = 0; replica->cluster && i < replica->spec->task_count; i++)
        progress->alive -= replica->spec->task[i].role == MU_ROLE_PS &&
                           mu_cluster_view(replica->cluster, i).awaited_ns > 0;
}

/* What a server has counted that ended the run because of one of its workers, and what is lost with
 * one that did not come back. */
static enum mu_status run_told(struct mu_command *command)
{
    struct mu_replica *replica = command->owner;
    count_awaited(replica);
    if (replica->cluster)
        replica->reporter.summary.updates_lost += mu_cluster_updates_lost(replica->cluster);
    if (!replica->cluster || replica->task_summaries)
        return MU_OK;
    const struct mu_cluster_numbers numbers = mu_cluster_accused_with(replica->cluster);
    return mu_push_counts_told(replica, numbers.value, numbers.count);
}

/* A run that failed leaves its numbers too: how far it came, and the exit code. */
static void close_failed(struct mu_replica *replica, enum mu_status status)
{
    if (status == MU_OK || replica->closed || !replica->leads || !replica->reporter.run)
        return;
    struct mu_summary *summary = &replica->reporter.summary;
    sum_up(replica);
    /* Only all together know what they read. */
    if (replica->recoveries > 0)
        summary->samples_again = -1;
    /* What went wrong has been said already; a checksum that cannot be had is 0. */
    enum mu_status summed = sum_parameters(replica, &summary->parameters_crc32c);
    enum mu_status told = mu_communicator_do(&replica->communicator, run_told, replica);
    enum mu_status known = mu_push_counts_know(replica);
    enum mu_status written = mu_reporter_finish(&replica->reporter, status);
    (void)summed;
    (void)told;
    (void)known;
    (void)written;
}

bool mu_replica_is_crowded(const struct mu_replica *replica)
{
    const struct mu_spec *spec = replica->spec;
    const char *home = spec->task[spec->self].address.host;
    int here = 0;
    for (int i = 0; i < spec->task_count; i++)
        here += spec->task[i].replica >= 0 && strcmp(spec->task[i].address.host, home) == 0;
    return replica->world->processors < 2 * here;
}

/* Gradients of a warm-up by epochs, which are replica 0's, between two versions. */
static int64_t alone_between(const struct mu_replica *replica, int64_t from, int64_t end)
{
    int64_t alone = replica->modes.phase[0].mode.warmup_steps;
    if (replica->job->mode.warmup_epochs == 0 || from >= alone)
        return 0;
    return (end < alone ? end : alone) - from;
}

int64_t mu_replica_own_gradients(const struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    const struct mu_ps_plan *modes = &replica->modes;
    int64_t limit = job->train.steps, from = replica->step;
    if (limit == 0)
        return mu_positions_steps_left(&replica->positions, replica->rank, job->train.epochs);
    limit = limit > from ? limit : from;
    if (modes->phase[mu_ps_plan_at(modes, limit)].mode.kind == MU_PS_SYNC)
        return limit - from;
    int64_t alone = alone_between(replica, from, limit);
    int64_t left = mu_ps_plan_gradients(modes, limit) - mu_ps_plan_gradients(modes, from) - alone;
    return left / replica->count + (replica->rank < left % replica->count) +
           (replica->rank == 0 ? alone : 0);
}

static enum mu_status run_generation(struct mu_replica *replica)
{
    replica->ends = false;
    MU_TRY(mu_replica_connect(replica));
    MU_TRY(train(replica));
    enum mu_status ending = replica->stopped ? MU_PREEMPTED : MU_OK;
    if (replica->leads)
        MU_TRY(close_run(replica, ending));
    mu_replica_doing(replica, MU_DOING_ENDING);
    return mu_replica_part(replica, ending);
}

static enum mu_status run_to_the_end(struct mu_replica *replica)
{
    enum mu_status status;
    MU_TRY(mu_job_fit(replica->log, replica->job, replica->count, replica->spec->ps_count));
    MU_TRY(make_model(replica));
    do {
        status = run_generation(replica);
    } while (mu_replica_begin_again(replica, &status));
    return status;
}

enum mu_status mu_replica_run(struct mu_task_run *run)
{
    struct mu_replica replica;
    init(&replica, run);
    enum mu_status status = mu_communicator_start(&replica.communicator, run->world);
    if (status == MU_OK) {
        status = mu_replica_status_begin(&replica);
        if (status == MU_OK)
            status = run_to_the_end(&replica);
        close_failed(&replica, status);
        mu_replica_disconnect(&replica, status);
        mu_communicator_stop(&replica.communicator);
    }
    finish(&replica);
    return status;
}
