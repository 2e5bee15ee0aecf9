/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/task_cluster.h"
#include "ps/seats.h"
#include "roles/checkpoint/go_on.h"
#include "roles/job/job_rows.h"

/* A checkpoint that has come since shows that the leader was there. */
static bool was_there(void *owner)
{
    const struct mu_task_run *run = owner;
    return mu_task_newest(run->world->store) > run->newest_before;
}

static bool has_left(void *owner)
{
    const struct mu_task_run *run = owner;
    return mu_task_newest(run->world->store) >= 0;
}

static int64_t recover_ns(const struct mu_task_run *run)
{
    const struct mu_spec *spec = run->spec;
    return (int64_t)(mu_job_recovery_seconds(run->job, spec->replica_count, spec->ps_count) *
                     (double)MU_SECOND);
}

static void say_go_on(void *owner, char *out, size_t bytes)
{
    const struct mu_task_run *run = owner;
    mu_go_on_say(run->go_on, out, bytes);
}

static int64_t saved(void *owner, bool *ret_is_written)
{
    const struct mu_task_run *run = owner;
    int64_t written = atomic_load(&run->saved.written), whole = atomic_load(&run->saved.whole);
    *ret_is_written = written > whole;
    return written > whole ? written : whole;
}

static void say_start(void *owner, int task, char *out, size_t bytes)
{
    const struct mu_task_run *run = owner;
    struct mu_text text;
    mu_text_init(&text);
    mu_go_on_start_command(run->go_on, task, &text);
    mu_text_copy(out, bytes, text.failed || !text.data || text.bytes >= bytes ? "" : text.data);
    mu_text_finish(&text);
}

static bool uses_servers(const struct mu_task_run *run)
{
    return mu_job_uses_servers(run->job, run->spec->replica_count, run->spec->ps_count);
}

static bool has_standbys(const struct mu_task_run *run)
{
    return run->job->mode.replicas > 0 && uses_servers(run);
}

enum mu_status mu_task_join(struct mu_task_run *run, struct mu_loop *loop, uint32_t layout_crc32c,
    struct mu_activity *activity, struct mu_cluster **ret_cluster)
{
    struct mu_text job;
    mu_text_init(&job);
    mu_job_write_agreed(run->job, &job);
    const struct mu_dataset_facts *facts = &run->data->train_facts;
    bool reads = mu_task_reads_train(run->spec);
    bool evaluates = run->spec->task[run->spec->self].role == MU_ROLE_EVALUATOR;
    const struct mu_cluster_options options = {
        .world = run->world,
        .loop = loop,
        .log = run->log,
        .spec = run->spec,
        .job_hash = run->job->hash,
        .job = job.failed ? NULL : job.data,
        .layout_crc32c = layout_crc32c,
        .data_crc32c = reads ? facts->crc32c : 0,
        .shape = {(int64_t)facts->sample_count, (int64_t)facts->feature_count,
            (int64_t)facts->class_count, (int64_t)facts->field_count,
            (int64_t)mu_task_entry_max(run->data), mu_task_id_count(run->data)},
        .started_wall_ns = run->started_wall_ns,
        .inherited_fd = run->inherited_fd,
        .start_timeout_ns = run->timeouts.start_ns,
        .heartbeat_ns = run->timeouts.heartbeat_ns,
        .step_ns = run->timeouts.step_ns,
        .dead_ns = run->timeouts.dead_ns,
        .recover_ns = recover_ns(run),
        .launcher_kills = run->launcher_kills,
        .standby_of = has_standbys(run) ? mu_ps_seat_standby_of : NULL,
        .saved = uses_servers(run) ? saved : NULL,
        .go_on = run->go_on ? say_go_on : NULL,
        .start = run->go_on ? say_start : NULL,
        .activity = activity,
        .beat = run->beat,
        .was_there = evaluates ? was_there : NULL,
        .has_left = evaluates ? has_left : NULL,
        .owner = run,
    };
    enum mu_status status = mu_cluster_create(&options, ret_cluster);
    mu_text_finish(&job);
    MU_TRY(status);
    MU_TRY(mu_cluster_open(*ret_cluster));
    MU_TRY(mu_cluster_join(*ret_cluster));
    if (run->ready)
        run->ready("the run has begun");
    return MU_OK;
}

/* ---- links ---- */

enum mu_status mu_task_blame(
    struct mu_cluster *cluster, enum mu_status status, int task, const char *what, int64_t since_ns)
{
    return status == MU_OK ? MU_OK : mu_cluster_blame(cluster, status, task, what, since_ns);
}

enum mu_status mu_task_dial(const struct mu_task_run *run, struct mu_cluster *cluster, int task,
    int kind, uint32_t lane, struct mu_link **ret_link)
{
    int64_t now = mu_now(run->world);
    int64_t deadline = mu_deadline(now, run->timeouts.step_ns);
    return mu_task_blame(cluster, mu_cluster_dial(cluster, task, kind, lane, deadline, ret_link),
        task, "connecting", now);
}

enum mu_status mu_task_answer(const struct mu_task_run *run, struct mu_cluster *cluster, int task,
    int kind, uint32_t lane, const char *what, struct mu_link **ret_link)
{
    int64_t now = mu_now(run->world);
    int64_t deadline = mu_deadline(now, run->timeouts.step_ns);
    return mu_task_blame(
        cluster, mu_cluster_answer(cluster, task, kind, lane, deadline, ret_link), task, what, now);
}
