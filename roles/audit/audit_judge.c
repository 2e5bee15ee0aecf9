/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_judge.h"
#include "ps/policies.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Powers and cosines may differ by a bit between two machines; what was applied is what the record
 * says. */
#define NEARLY 1e-6

enum mu_status mu_audit_judge_init(struct mu_audit_judge *judge, const struct mu_job *job,
    int replica_count, size_t sample_count, int64_t version, int64_t total)
{
    *judge = (struct mu_audit_judge){
        .job = job,
        .modes = mu_job_ps_plan(job, replica_count, sample_count),
        .replica_count = replica_count,
        .active_count = replica_count,
        .version = version,
        .total = total,
        .workers = calloc((size_t)replica_count, sizeof(*judge->workers)),
    };
    judge->phase = mu_ps_plan_at(&judge->modes, version);
    return judge->workers ? MU_OK : MU_NO_MEMORY;
}

void mu_audit_judge_finish(struct mu_audit_judge *judge)
{
    free(judge->workers);
    judge->workers = NULL;
}

struct doubt {
    char *why;
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static bool doubt(
    const struct doubt *doubt, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(doubt->why, doubt->bytes, format, list);
    va_end(list);
    return false;
}

static bool nearly(double a, double b)
{
    return fabs(a - b) <= NEARLY * fmax(fabs(a), fabs(b));
}

/* ---- what must have been ---- */

static bool warms_up(const struct mu_audit_judge *judge)
{
    return judge->version < mu_audit_judge_phase(judge)->mode.warmup_steps &&
           !judge->workers[0].left;
}

static struct mu_push_facts facts_of(
    const struct mu_audit_judge *judge, const struct mu_audit_record *record)
{
    bool warming_up = warms_up(judge);
    return (struct mu_push_facts){
        .worker = record->worker,
        .replica_count = judge->replica_count,
        .version_seen = (uint64_t)record->seen,
        .version = (uint64_t)record->version,
        .staleness = (uint64_t)record->staleness,
        .bound = (uint64_t)mu_audit_judge_phase(judge)->mode.bound,
        .has_seen = record->has_seen,
        .is_flawed = record->flaw != 0,
        .warming_up = warming_up,
        .gathered = judge->gathered,
        .active_count = judge->active_count,
        .clock = judge->workers[record->worker].clock + !warming_up,
    };
}

static double rate_of(const struct mu_audit_judge *judge)
{
    return mu_job_rate(judge->job, judge->version, judge->total);
}

/* ---- taking in ---- */

static void step(struct mu_audit_judge *judge)
{
    judge->version++;
    judge->gathered = 0;
    int phase = mu_ps_plan_at(&judge->modes, judge->version);
    bool restarts = phase != judge->phase && mu_ps_plan_restarts_clocks(&judge->modes, phase);
    for (int i = 0; restarts && i < judge->replica_count; i++)
        judge->workers[i].clock = 0;
    judge->phase = phase;
}

static bool agrees(const struct mu_audit_judge *judge, const struct mu_audit_record *record,
    const struct mu_push_facts *facts, const struct doubt *out)
{
    const struct mu_ps_phase *phase = mu_audit_judge_phase(judge);
    struct mu_ps_decision decision =
        mu_ps_mode_decide(&phase->mode, phase->policy, phase->policy_options, facts);
    enum mu_verdict verdict = decision.judgement.verdict;
    double scale = (double)decision.judgement.scale;
    double rate = rate_of(judge) * (verdict == MU_VERDICT_SCALE ? scale : 1);
    if (verdict != record->verdict)
        return doubt(out, "the verdict is `%s` where mode and policy give `%s`",
            mu_verdict_name(record->verdict), mu_verdict_name(verdict));
    if (!nearly(scale, record->scale))
        return doubt(out, "the scale is %.9g where the policy gives %.9g", record->scale, scale);
    if (decision.average != record->average)
        return doubt(out, "it makes a step of %d gradients where the mode gives %d",
            record->average, decision.average);
    if ((int64_t)facts->clock != record->clock)
        return doubt(out, "the clock of its worker is %lld where %llu is next",
            (long long)record->clock, (unsigned long long)facts->clock);
    if (!nearly(rate, record->learning_rate))
        return doubt(out, "the learning rate is %.9g where the schedule gives %.9g",
            record->learning_rate, rate);
    return isfinite(record->weight) || doubt(out, "its weight is no number");
}

static bool take_gradient(
    struct mu_audit_judge *judge, const struct mu_audit_record *record, const struct doubt *out)
{
    if (record->staleness < 0 || record->seen != record->version - record->staleness ||
        record->seen < 0)
        return doubt(out, "version %lld, seen %lld and staleness %lld do not fit",
            (long long)record->version, (long long)record->seen, (long long)record->staleness);
    struct mu_push_facts facts = facts_of(judge, record);
    if (!agrees(judge, record, &facts, out))
        return false;
    judge->workers[record->worker].clock = facts.clock;
    if (record->verdict == MU_VERDICT_GATHER)
        judge->gathered++;
    else if (record->verdict != MU_VERDICT_DROP && record->verdict != MU_VERDICT_REFUSE)
        step(judge);
    if (record->average > 0)
        step(judge);
    return true;
}

static bool take_leaving(
    struct mu_audit_judge *judge, const struct mu_audit_record *record, const struct doubt *out)
{
    struct mu_audit_worker *worker = &judge->workers[record->worker];
    int active_count = judge->active_count - !worker->left;
    int average =
        mu_ps_mode_left(&mu_audit_judge_phase(judge)->mode, judge->gathered, active_count);
    if (average != record->average)
        return doubt(out, "it makes a step of %d gradients where the mode gives %d",
            record->average, average);
    if (average > 0 && !nearly(rate_of(judge), record->learning_rate))
        return doubt(out, "the learning rate is %.9g where the schedule gives %.9g",
            record->learning_rate, rate_of(judge));
    worker->left = true;
    judge->active_count = active_count;
    if (average > 0)
        step(judge);
    return true;
}

static bool take_choice(
    struct mu_audit_judge *judge, const struct mu_audit_record *record, const struct doubt *out)
{
    struct mu_ps_phase *phase = &judge->modes.phase[judge->phase];
    return mu_ps_mode_choose(&phase->mode, judge->replica_count, record->clock) ||
           doubt(
               out, "%lld cannot be chosen for the mode of this version", (long long)record->clock);
}

bool mu_audit_judge_take(
    struct mu_audit_judge *judge, const struct mu_audit_record *record, char *why, size_t why_bytes)
{
    const struct doubt out = {why, why_bytes};
    if (record->worker >= judge->replica_count)
        return doubt(&out, "replica %d of %d", record->worker, judge->replica_count);
    if (record->version != judge->version)
        return doubt(&out, "it is about version %lld where %lld is the version",
            (long long)record->version, (long long)judge->version);
    if (record->kind == MU_AUDIT_GRADIENT)
        return take_gradient(judge, record, &out);
    if (record->kind == MU_AUDIT_CHOICE)
        return take_choice(judge, record, &out);
    return take_leaving(judge, record, &out);
}
