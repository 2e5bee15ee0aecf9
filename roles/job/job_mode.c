/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "data/plan.h"
#include "ps/split.h"
#include "roles/job/job_phases.h"
#include "roles/job/job_table.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the mode of a job means for a cluster: who keeps the parameters, and how steps are made. */

bool mu_job_uses_servers(const struct mu_job *job, int replica_count, int ps_count)
{
    bool is_plain = job->mode.kind == MU_MODE_ASYNC && job->phase_count == 0;
    if (is_plain && replica_count == 1 && ps_count == 0)
        return false;
    if (job->model->row_width && replica_count > 1)
        return true;
    return job->mode.kind != MU_MODE_SYNC || job->mode.workers > 0 || job->mode.backups != 0 ||
           job->phase_count > 0;
}

/* Servers that have nothing to do are not worth waiting for. */
double mu_job_recovery_seconds(const struct mu_job *job, int replica_count, int ps_count)
{
    if (!mu_job_uses_servers(job, replica_count, ps_count))
        return 0;
    if (job->mode.recovery_seconds != MU_MODE_AUTO)
        return job->mode.recovery_seconds;
    return job->mode.replicas > 0 ? 0 : MU_JOB_RECOVERY_SECONDS;
}

static struct mu_ps_mode ps_mode(const struct mu_job_mode *mode, int replica_count)
{
    static const enum mu_ps_mode_kind kinds[] = {
        [MU_MODE_SYNC] = MU_PS_SYNC,
        [MU_MODE_ASYNC] = MU_PS_ASYNC,
        [MU_MODE_SOFTSYNC] = MU_PS_SOFTSYNC,
        [MU_MODE_BOUNDED] = MU_PS_BOUNDED,
    };
    bool is_auto = (mode->kind == MU_MODE_SYNC && mode->backups == MU_MODE_AUTO) ||
                   (mode->kind == MU_MODE_BOUNDED && mode->bound == MU_MODE_AUTO);
    int64_t backups = mode->backups > 0 ? mode->backups : 0;
    int64_t workers = mode->workers > 0 ? mode->workers : replica_count - backups;
    return (struct mu_ps_mode){
        .kind = kinds[mode->kind],
        .workers = (int)workers,
        .gradients = (int)mode->gradients,
        .bound = mode->bound > 0 ? mode->bound : 0,
        .warmup_steps = mode->warmup_steps,
        .auto_steps = is_auto ? mode->auto_steps : 0,
    };
}

/* ---- steps and epochs ---- */

/* Steps of an epoch that so many replicas read. */
static int64_t epoch_steps(const struct mu_job *job, int replica_count, size_t sample_count)
{
    return mu_plan_steps(sample_count, replica_count, (int)mu_job_rows(job));
}

/* Gradients of all replicas before an epoch. */
static int64_t gradients_before(
    const struct mu_job *job, int replica_count, size_t sample_count, int64_t epoch)
{
    int64_t alone = epoch < job->mode.warmup_epochs ? epoch : job->mode.warmup_epochs;
    return alone * epoch_steps(job, 1, sample_count) +
           (epoch - alone) * epoch_steps(job, replica_count, sample_count) * replica_count;
}

struct mu_ps_plan mu_job_ps_plan(const struct mu_job *job, int replica_count, size_t sample_count)
{
    struct mu_ps_plan plan = {.replica_count = replica_count, .phase_count = 1};
    plan.phase[0] = (struct mu_ps_phase){.mode = ps_mode(&job->mode, replica_count),
        .policy = job->policy,
        .policy_options = job->policy_options};
    if (job->mode.warmup_epochs > 0)
        plan.phase[0].mode.warmup_steps =
            gradients_before(job, replica_count, sample_count, job->mode.warmup_epochs);
    for (int i = 0; i < job->phase_count; i++) {
        const struct mu_job_phase *asked = &job->phase[i];
        struct mu_ps_phase phase = {.from = asked->from_step,
            .mode = ps_mode(&asked->mode, replica_count),
            .policy = asked->policy,
            .policy_options = asked->policy_options};
        phase.mode.warmup_steps = plan.phase[0].mode.warmup_steps;
        if (asked->from_epoch > 0)
            phase.from = mu_ps_plan_versions(
                &plan, gradients_before(job, replica_count, sample_count, asked->from_epoch));
        if (phase.from <= plan.phase[i].from) /* epochs of less than a step */
            phase.from = plan.phase[i].from + 1;
        plan.phase[plan.phase_count++] = phase;
    }
    return plan;
}

/* ---- does it fit? ---- */

#define MODE_NAME(name, text) text,
static const char *const mode_names[] = {MU_MODE_ROWS(MODE_NAME)};

/* A job as it is in one entry of its schedule, or (-1) from the start on. */
struct fit {
    struct mu_log *log;
    const struct mu_job *job;
    int phase;
    const struct mu_job_mode *mode;
    const struct mu_policy_ops *policy;
};

__attribute__((format(printf, 3, 4))) static enum mu_status unfit(
    const struct fit *fit, const char *help, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (fit->phase < 0)
        return mu_fail(fit->log, MU_E0204, help, "%s", text);
    struct mu_place place = mu_job_phases_place(fit->job, fit->phase);
    return mu_fail_at(fit->log, MU_E0204, &place, NULL, help, "%s", text);
}

static const char *kind_name(const struct fit *fit)
{
    return mode_names[fit->mode->kind];
}

static enum mu_status fit_servers(const struct fit *fit, int ps_count)
{
    const struct mu_job *job = fit->job;
    bool is_sync = fit->mode->kind == MU_MODE_SYNC;
    if (ps_count == 0 && job->model->row_width)
        return unfit(fit, "add a parameter server to the cluster (ps)",
            "model `%s` has an embedding table, which replicas share by a parameter server; the "
            "cluster has none",
            job->model->name);
    if (ps_count == 0 && job->phase_count > 0)
        return unfit(fit, "add a parameter server to the cluster (ps), or leave out mode.schedule",
            "mode.schedule needs a parameter server, and the cluster has none");
    if (ps_count == 0 && is_sync)
        return unfit(fit,
            "add a parameter server to the cluster (ps), or leave out mode.workers and "
            "mode.backups: then the replicas sum by all-reduce",
            "mode `sync` with mode.workers or mode.backups needs a parameter server, and the "
            "cluster has none");
    if (ps_count == 0)
        return unfit(fit, "add a parameter server to the cluster (ps), or use --set mode.kind=sync",
            "mode `%s` needs a parameter server, and the cluster has none", kind_name(fit));
    if (job->compressor == mu_compressors[0])
        return MU_OK;
    return unfit(fit,
        is_sync ? "leave out compress, or mode.workers and mode.backups"
                : "leave out compress, or use --set mode.kind=sync",
        "mode `%s` sends gradients to parameter servers as they are: compress.kind `%s` is for the "
        "all-reduce of mode `sync`",
        kind_name(fit), job->compressor->name);
}

static enum mu_status fit_workers(const struct fit *fit, int replica_count)
{
    const struct mu_job_mode *mode = fit->mode;
    if (mode->kind != MU_MODE_SYNC && (mode->workers > 0 || mode->backups != 0))
        return unfit(fit, "use --set mode.kind=sync, or leave them out",
            "mode.workers and mode.backups are for mode `sync`: mode `%s` takes every gradient",
            kind_name(fit));
    if (mode->backups == MU_MODE_AUTO && mode->workers > 0)
        return unfit(fit, "leave out mode.workers, or give a number of backups",
            "mode.backups `auto` chooses how many of all replicas are workers, and mode.workers "
            "is %lld",
            (long long)mode->workers);
    if (mode->backups == MU_MODE_AUTO)
        return MU_OK;
    int64_t needed = mode->workers > 0 ? mode->workers + mode->backups : mode->backups + 1;
    if (needed <= replica_count)
        return MU_OK;
    return unfit(fit, "add workers, or ask for less of them",
        "mode `sync` with %lld worker%s and %lld backup%s needs %lld replicas; the cluster has %d",
        (long long)(needed - mode->backups), needed - mode->backups == 1 ? "" : "s",
        (long long)mode->backups, mode->backups == 1 ? "" : "s", (long long)needed, replica_count);
}

/* An entry of a schedule may have it for another, or from what was before. */
static enum mu_status fit_gradients(const struct fit *fit)
{
    bool is_used = fit->mode->kind == MU_MODE_SOFTSYNC || fit->job->phase_count > 0;
    if (is_used || fit->mode->gradients == 1)
        return MU_OK;
    return unfit(fit, "use --set mode.kind=softsync, or leave it out",
        "mode.gradients is for mode `softsync`: it is %lld, and the mode is `%s`",
        (long long)fit->mode->gradients, kind_name(fit));
}

/* Which policy has something to do in which mode. */
static enum mu_status fit_policy(const struct fit *fit)
{
    const char *name = fit->policy->name;
    if (strcmp(name, "drop") == 0 && fit->mode->bound == MU_MODE_AUTO)
        return unfit(fit, "give a number of updates, as --set mode.bound=16",
            "mode.bound `auto` is for mode `bounded`: policy `drop` needs a number");
    if (strcmp(name, "apply") == 0)
        return MU_OK;
    if (fit->mode->kind == MU_MODE_SYNC)
        return unfit(fit,
            fit->phase < 0 ? "leave out mode.policy (or --set mode.policy=apply), or use --set "
                             "mode.kind=async"
                           : "say \"policy\": \"apply\" in this entry",
            "mode.policy `%s` is for stale gradients, and mode `sync` applies none", name);
    if (fit->mode->kind == MU_MODE_BOUNDED && strcmp(name, "drop") == 0)
        return unfit(fit, "use mode.policy apply, scale or compensate",
            "mode `bounded` lets workers wait and drops nothing: mode.policy `drop` is not for it");
    if (fit->mode->kind == MU_MODE_SOFTSYNC && fit->policy->correct)
        return unfit(fit, "use mode.policy apply, drop or scale, or --set mode.kind=async",
            "mode.policy `%s` corrects gradients that are applied one by one; mode `softsync` "
            "averages them",
            name);
    return MU_OK;
}

static enum mu_status fit_waits(const struct fit *fit)
{
    bool waits = fit->mode->kind == MU_MODE_SYNC || fit->mode->kind == MU_MODE_BOUNDED;
    if (!waits || fit->mode->in_flight == 1)
        return MU_OK;
    return unfit(fit, "use --set mode.in_flight=1, or mode async or softsync",
        "in mode `%s` a worker waits for the answer to its push: mode.in_flight must be 1, not "
        "%lld",
        kind_name(fit), (long long)fit->mode->in_flight);
}

static enum mu_status fit_audit(struct mu_log *log, const struct mu_job *job, bool uses_servers)
{
    if (!job->mode.audit)
        return MU_OK;
    if (!uses_servers)
        return mu_fail(log, MU_E0204,
            "leave it out, or add a parameter server and a mode that uses it",
            "mode.audit is for training through parameter servers");
    return MU_OK;
}

static enum mu_status fit_warmup(const struct fit *fit, bool uses_servers)
{
    const struct mu_job_mode *mode = fit->mode;
    if (mode->warmup_steps > 0 && mode->warmup_epochs > 0)
        return unfit(fit, "leave out one of them",
            "mode.warmup_steps and mode.warmup_epochs say the same in two ways");
    if (uses_servers || (mode->warmup_steps == 0 && mode->warmup_epochs == 0))
        return MU_OK;
    return unfit(fit, "leave it out, or use schedule.warmup_steps",
        "mode.%s is for training through parameter servers; the all-reduce has all replicas from "
        "the start",
        mode->warmup_steps > 0 ? "warmup_steps" : "warmup_epochs");
}

/* Groups leave a forced algorithm out where it is for other operations: here that is all there is.
 */
static enum mu_status fit_algorithm(const struct fit *fit, int replica_count)
{
    const char *algorithm = fit->job->mode.algorithm;
    struct mu_text why;
    if (!algorithm[0] || replica_count < 2)
        return MU_OK;
    mu_text_init(&why);
    enum mu_status status = MU_OK;
    if (!mu_choose_adds(algorithm, &why))
        status = mu_fail(fit->log, MU_E0204, "leave out mode.algorithm, or choose one that adds",
            "mode.algorithm `%s` cannot add gradients: %s", algorithm, why.data);
    mu_text_finish(&why);
    return status;
}

/* The mode from the start on, or that of an entry of the schedule. */
static enum mu_status fit_mode(const struct fit *fit, int replica_count, int ps_count)
{
    bool uses_servers = mu_job_uses_servers(fit->job, replica_count, ps_count);
    MU_TRY(fit_policy(fit));
    MU_TRY(fit_gradients(fit));
    MU_TRY(fit_warmup(fit, uses_servers));
    if (!uses_servers)
        return fit_algorithm(fit, replica_count);
    MU_TRY(fit_servers(fit, ps_count));
    MU_TRY(fit_workers(fit, replica_count));
    return fit_waits(fit);
}

/* An entry of the schedule has the bound of before it: one of them must be for it. */
static enum mu_status fit_bound(const struct fit *fit)
{
    const struct mu_job *job = fit->job;
    const struct mu_job_mode *mode = fit->mode;
    bool asks = mode->bound == MU_MODE_AUTO;
    bool bounds = asks && mode->kind == MU_MODE_BOUNDED;
    for (int i = 0; i < job->phase_count; i++) {
        mode = &job->phase[i].mode;
        asks = asks || mode->bound == MU_MODE_AUTO;
        bounds = bounds || (mode->bound == MU_MODE_AUTO && mode->kind == MU_MODE_BOUNDED);
    }
    if (!asks || bounds)
        return MU_OK;
    return unfit(fit, "use --set mode.kind=bounded, or leave out mode.bound",
        "mode.bound `auto` is for mode `bounded`, and the mode is `%s`", kind_name(fit));
}

static enum mu_status fit_standbys(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    if (job->mode.replicas == 0)
        return MU_OK;
    if (!mu_job_uses_servers(job, replica_count, ps_count))
        return mu_fail(log, MU_E0204,
            "leave it out, or add parameter servers and a mode that uses them",
            "mode.replicas is for training through parameter servers");
    if (ps_count < 2)
        return mu_fail(log, MU_E0204, "add a parameter server (ps=2), or leave out mode.replicas",
            "mode.replicas 1 keeps each part of the parameters on two servers, and the cluster has "
            "%d",
            ps_count);
    if (job->mode.recovery_seconds > 0)
        return mu_fail(log, MU_E0204, "leave out one of them",
            "with mode.replicas a run goes on without a server that is lost, with "
            "mode.recovery_seconds it waits for it");
    return MU_OK;
}

static enum mu_status fit_recovery(struct mu_log *log, const struct mu_job *job, bool uses_servers)
{
    if (job->mode.recovery_seconds <= 0 || uses_servers) /* 0, or MU_MODE_AUTO */
        return MU_OK;
    return mu_fail(log, MU_E0204,
        "leave it out, or add parameter servers and a mode that uses them",
        "mode.recovery_seconds is for training through parameter servers");
}

enum mu_status mu_job_fit(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    struct fit fit = {
        .log = log, .job = job, .phase = -1, .mode = &job->mode, .policy = job->policy};
    if (job->model->row_width && job->data.accumulate > 1)
        return mu_fail(log, MU_E0204, "use a larger data.batch",
            "model `%s` has an embedding table: data.accumulate must be 1", job->model->name);
    bool uses_servers = mu_job_uses_servers(job, replica_count, ps_count);
    MU_TRY(fit_audit(log, job, uses_servers));
    MU_TRY(fit_recovery(log, job, uses_servers));
    MU_TRY(fit_standbys(log, job, replica_count, ps_count));
    MU_TRY(fit_mode(&fit, replica_count, ps_count));
    MU_TRY(fit_bound(&fit));
    for (fit.phase = 0; fit.phase < job->phase_count; fit.phase++) {
        fit.mode = &job->phase[fit.phase].mode;
        fit.policy = job->phase[fit.phase].policy;
        MU_TRY(fit_mode(&fit, replica_count, ps_count));
    }
    if (replica_count > MU_REPLICAS_MAX)
        return mu_fail(log, MU_E0204, NULL, "%d replicas are more than the %d allowed",
            replica_count, MU_REPLICAS_MAX);
    if (ps_count > MU_PS_SERVERS_MAX)
        return mu_fail(log, MU_E0204, "a server keeps as much as its memory has room for",
            "%d parameter servers are more than the %d allowed", ps_count, MU_PS_SERVERS_MAX);
    return mu_job_table_fit(log, job, replica_count, ps_count);
}

enum mu_status mu_job_fit_cluster(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    const struct fit fit = {.log = log, .job = job, .phase = -1, .mode = &job->mode};
    bool wants_servers = job->mode.kind != MU_MODE_SYNC;
    if (wants_servers && !mu_job_uses_servers(job, replica_count, ps_count))
        return unfit(&fit,
            "add a parameter server to the cluster (ps), or use --set mode.kind=sync; without any "
            "cluster one process trains alone",
            "mode `%s` needs a parameter server, and the cluster has none", kind_name(&fit));
    return mu_job_fit(log, job, replica_count, ps_count);
}

enum mu_status mu_job_fit_local(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    const struct mu_job_mode *mode = &job->mode;
    MU_TRY(mu_job_fit_cluster(log, job, replica_count, ps_count));
    if (!mode->algorithm[0] || replica_count < 2 ||
        mu_job_uses_servers(job, replica_count, ps_count))
        return MU_OK;
    bool shares_memory = mode->transport != MU_MODE_TCP;
    struct mu_text why, unused;
    mu_text_init(&why);
    mu_text_init(&unused);
    enum mu_status status = MU_OK;
    if (!mu_choose_foresee(
            mode->algorithm, replica_count, mode->deterministic, shares_memory, &why))
        status = mu_fail(log, MU_E0204,
            mu_choose_foresee(mode->algorithm, replica_count, false, shares_memory, &unused)
                ? "leave out mode.algorithm, choose one that can, or set mode.deterministic=false"
                : "leave out mode.algorithm, or choose one that can",
            "mode.algorithm `%s` cannot add the gradients of replicas on one host: %s",
            mode->algorithm, why.data);
    mu_text_finish(&unused);
    mu_text_finish(&why);
    return status;
}

double mu_job_rate(const struct mu_job *job, int64_t step, int64_t steps_total)
{
    int64_t planned = steps_total > 0 && step >= steps_total ? steps_total - 1 : step;
    return job->optim.learning_rate *
           job->schedule->factor(job->schedule_options, planned, steps_total);
}
