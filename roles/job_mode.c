/* SPDX-License-Identifier: Apache-2.0 */
#include "data/plan.h"
#include "roles/job.h"
#include <string.h>

/* What the mode of a job means for a cluster: who keeps the parameters, and how steps are made. */

bool mu_job_uses_servers(const struct mu_job *job, int replica_count, int ps_count)
{
    if (job->mode.kind == MU_MODE_ASYNC && replica_count == 1 && ps_count == 0)
        return false;
    if (job->model->row_width && replica_count > 1)
        return true;
    return job->mode.kind != MU_MODE_SYNC || job->mode.workers > 0 || job->mode.backups > 0;
}

struct mu_ps_mode mu_job_ps_mode(const struct mu_job *job, int replica_count)
{
    static const enum mu_ps_mode_kind kinds[] = {
        [MU_MODE_SYNC] = MU_PS_SYNC,
        [MU_MODE_ASYNC] = MU_PS_ASYNC,
        [MU_MODE_SOFTSYNC] = MU_PS_SOFTSYNC,
        [MU_MODE_BOUNDED] = MU_PS_BOUNDED,
    };
    const struct mu_job_mode *mode = &job->mode;
    int64_t workers = mode->workers > 0 ? mode->workers : replica_count - mode->backups;
    return (struct mu_ps_mode){
        .kind = kinds[mode->kind],
        .workers = (int)workers,
        .gradients = (int)mode->gradients,
        .bound = mode->bound,
        .warmup_steps = mode->warmup_steps,
    };
}

/* ---- steps and gradients ---- */

int64_t mu_job_steps_of(const struct mu_job *job, int64_t gradients)
{
    int64_t alone = job->mode.warmup_steps, each = job->mode.gradients;
    if (job->mode.kind != MU_MODE_SOFTSYNC || gradients <= alone)
        return gradients;
    return alone + (gradients - alone + each - 1) / each;
}

int64_t mu_job_gradients_of(const struct mu_job *job, int64_t steps)
{
    int64_t alone = job->mode.warmup_steps;
    if (job->mode.kind != MU_MODE_SOFTSYNC || steps <= alone)
        return steps;
    if (steps > INT64_MAX / 2 / job->mode.gradients)
        return INT64_MAX / 2; /* more than any run has */
    return alone + (steps - alone) * job->mode.gradients;
}

/* ---- does it fit? ---- */

#define MODE_NAME(name, text) text,
static const char *const mode_names[] = {MU_MODE_ROWS(MODE_NAME)};

static const char *kind_name(const struct mu_job *job)
{
    return mode_names[job->mode.kind];
}

static enum mu_status fit_servers(struct mu_log *log, const struct mu_job *job, int ps_count)
{
    bool is_sync = job->mode.kind == MU_MODE_SYNC;
    if (ps_count == 0 && job->model->row_width)
        return mu_fail(log, MU_E0204, "add a parameter server to the cluster (ps)",
            "model `%s` has an embedding table, which replicas share by a parameter server; the "
            "cluster has none",
            job->model->name);
    if (ps_count == 0 && is_sync)
        return mu_fail(log, MU_E0204,
            "add a parameter server to the cluster (ps), or leave out mode.workers and "
            "mode.backups: then the replicas sum by all-reduce",
            "mode `sync` with mode.workers or mode.backups needs a parameter server, and the "
            "cluster has none");
    if (ps_count == 0)
        return mu_fail(log, MU_E0204,
            "add a parameter server to the cluster (ps), or use --set mode.kind=sync",
            "mode `%s` needs a parameter server, and the cluster has none", kind_name(job));
    if (job->compressor == mu_compressors[0])
        return MU_OK;
    return mu_fail(log, MU_E0204,
        is_sync ? "leave out compress, or mode.workers and mode.backups"
                : "leave out compress, or use --set mode.kind=sync",
        "mode `%s` sends gradients to parameter servers as they are: compress.kind `%s` is for the "
        "all-reduce of mode `sync`",
        kind_name(job), job->compressor->name);
}

static enum mu_status fit_workers(struct mu_log *log, const struct mu_job *job, int replica_count)
{
    const struct mu_job_mode *mode = &job->mode;
    if (mode->kind != MU_MODE_SYNC && (mode->workers > 0 || mode->backups > 0))
        return mu_fail(log, MU_E0204, "use --set mode.kind=sync, or leave them out",
            "mode.workers and mode.backups are for mode `sync`: mode `%s` takes every gradient",
            kind_name(job));
    int64_t needed = mode->workers > 0 ? mode->workers + mode->backups : mode->backups + 1;
    if (needed <= replica_count)
        return MU_OK;
    return mu_fail(log, MU_E0204, "add workers, or ask for less of them",
        "mode `sync` with %lld workers and %lld backups needs %lld replicas; the cluster has %d",
        (long long)(needed - mode->backups), (long long)mode->backups, (long long)needed,
        replica_count);
}

/* Which policy has something to do in which mode. */
static enum mu_status fit_policy(struct mu_log *log, const struct mu_job *job)
{
    const char *name = job->policy->name;
    if (strcmp(name, "apply") == 0)
        return MU_OK;
    if (job->mode.kind == MU_MODE_SYNC)
        return mu_fail(log, MU_E0204, "leave out mode.policy, or use --set mode.kind=async",
            "mode.policy `%s` is for stale gradients, and mode `sync` applies none", name);
    if (job->mode.kind == MU_MODE_BOUNDED && strcmp(name, "drop") == 0)
        return mu_fail(log, MU_E0204, "use mode.policy apply, scale or compensate",
            "mode `bounded` lets workers wait and drops nothing: mode.policy `drop` is not for it");
    if (job->mode.kind == MU_MODE_SOFTSYNC && job->policy->correct)
        return mu_fail(log, MU_E0204,
            "use mode.policy apply, drop or scale, or --set mode.kind=async",
            "mode.policy `%s` corrects gradients that are applied one by one; mode `softsync` "
            "averages them",
            name);
    return MU_OK;
}

static enum mu_status fit_waits(struct mu_log *log, const struct mu_job *job)
{
    bool waits = job->mode.kind == MU_MODE_SYNC || job->mode.kind == MU_MODE_BOUNDED;
    if (!waits || job->mode.in_flight == 1)
        return MU_OK;
    return mu_fail(log, MU_E0204, "use --set mode.in_flight=1, or mode async or softsync",
        "in mode `%s` a worker waits for the answer to its push: mode.in_flight must be 1, not "
        "%lld",
        kind_name(job), (long long)job->mode.in_flight);
}

static enum mu_status fit_audit(struct mu_log *log, const struct mu_job *job, bool uses_servers)
{
    if (!job->mode.audit)
        return MU_OK;
    if (!uses_servers)
        return mu_fail(log, MU_E0204,
            "leave it out, or add a parameter server and a mode that uses it",
            "mode.audit is for training through parameter servers");
    if (job->model->row_width)
        return mu_fail(log, MU_E0204, "leave out mode.audit, or use a model without embeddings",
            "model `%s` has an embedding table, and an audit log holds dense parameters alone",
            job->model->name);
    return MU_OK;
}

enum mu_status mu_job_fit(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    MU_TRY(fit_policy(log, job));
    if (job->model->row_width && job->data.accumulate > 1)
        return mu_fail(log, MU_E0204, "use a larger data.batch",
            "model `%s` has an embedding table: data.accumulate must be 1", job->model->name);
    bool uses_servers = mu_job_uses_servers(job, replica_count, ps_count);
    MU_TRY(fit_audit(log, job, uses_servers));
    if (uses_servers) {
        MU_TRY(fit_servers(log, job, ps_count));
        MU_TRY(fit_workers(log, job, replica_count));
        MU_TRY(fit_waits(log, job));
    } else if (job->mode.warmup_steps > 0) {
        return mu_fail(log, MU_E0204, "leave it out, or use schedule.warmup_steps",
            "mode.warmup_steps is for training through parameter servers; the all-reduce has all "
            "replicas from the start");
    }
    if (replica_count > MU_REPLICAS_MAX)
        return mu_fail(log, MU_E0204, NULL, "%d replicas are more than the %d allowed",
            replica_count, MU_REPLICAS_MAX);
    return MU_OK;
}
