/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_plan.h"
#include <assert.h>

#define MANY (INT64_MAX / 4) /* more than any run has */

int mu_ps_plan_at(const struct mu_ps_plan *plan, int64_t version)
{
    assert(plan->phase_count > 0 && plan->phase_count <= MU_PS_PHASES_MAX);
    int phase = 0;
    while (phase + 1 < plan->phase_count && plan->phase[phase + 1].from <= version)
        phase++;
    return phase;
}

bool mu_ps_plan_restarts_clocks(const struct mu_ps_plan *plan, int phase)
{
    return phase > 0 && plan->phase[phase].mode.kind == MU_PS_BOUNDED &&
           plan->phase[phase - 1].mode.kind != MU_PS_BOUNDED;
}

/* ---- of all phases ---- */

int64_t mu_ps_plan_gathered_max(const struct mu_ps_plan *plan)
{
    int64_t most = 0;
    for (int i = 0; i < plan->phase_count; i++) {
        const struct mu_ps_mode *mode = &plan->phase[i].mode;
        int64_t gathered = mode->kind == MU_PS_SYNC ? mode->workers : mode->gradients;
        if (mu_ps_mode_gathers(mode) && gathered > most)
            most = gathered;
    }
    return most;
}

bool mu_ps_plan_gathers(const struct mu_ps_plan *plan)
{
    return mu_ps_plan_gathered_max(plan) > 0;
}

const struct mu_policy_ops *mu_ps_plan_correcting(const struct mu_ps_plan *plan)
{
    for (int i = 0; i < plan->phase_count; i++)
        if (plan->phase[i].policy->correct)
            return plan->phase[i].policy;
    return NULL;
}

bool mu_ps_plan_adapts(const struct mu_ps_plan *plan)
{
    for (int i = 0; i < plan->phase_count; i++) {
        const struct mu_ps_phase *phase = &plan->phase[i];
        if (phase->policy->correct && phase->policy->adapts &&
            phase->policy->adapts(phase->policy_options))
            return true;
    }
    return false;
}

bool mu_ps_plan_waits(const struct mu_ps_plan *plan)
{
    for (int i = 0; i < plan->phase_count; i++)
        if (plan->phase[i].mode.kind == MU_PS_SYNC || plan->phase[i].mode.kind == MU_PS_BOUNDED)
            return true;
    return false;
}

/* ---- gradients and versions ---- */

/* Versions from `from` to `end`, each of which takes so many gradients. */
struct stretch {
    int64_t from, end, sent, counted;
};

static struct stretch stretch_at(const struct mu_ps_plan *plan, int64_t version)
{
    int at = mu_ps_plan_at(plan, version);
    const struct mu_ps_mode *mode = &plan->phase[at].mode;
    struct stretch stretch = {.from = version, .end = MANY, .sent = 1, .counted = 1};
    if (version < mode->warmup_steps) { /* whatever the phase */
        stretch.end = mode->warmup_steps;
        return stretch;
    }
    if (at + 1 < plan->phase_count)
        stretch.end = plan->phase[at + 1].from;
    if (mode->kind == MU_PS_SOFTSYNC)
        stretch.sent = stretch.counted = mode->gradients;
    if (mode->kind == MU_PS_SYNC) {
        stretch.sent = plan->replica_count;
        stretch.counted = mode->workers;
    }
    return stretch;
}

static int64_t times(int64_t versions, int64_t each)
{
    return versions < MANY / each ? versions * each : MANY;
}

static int64_t plus(int64_t a, int64_t b)
{
    return a < MANY - b ? a + b : MANY;
}

static int64_t sum(const struct mu_ps_plan *plan, int64_t version, bool counted)
{
    int64_t gradients = 0;
    version = version < MANY ? version : MANY;
    for (int64_t at = 0; at < version;) {
        struct stretch stretch = stretch_at(plan, at);
        int64_t end = stretch.end < version ? stretch.end : version;
        gradients = plus(gradients, times(end - at, counted ? stretch.counted : stretch.sent));
        at = end;
    }
    return gradients;
}

int64_t mu_ps_plan_gradients(const struct mu_ps_plan *plan, int64_t version)
{
    return sum(plan, version, false);
}

int64_t mu_ps_plan_counted(const struct mu_ps_plan *plan, int64_t version)
{
    return sum(plan, version, true);
}

int64_t mu_ps_plan_versions(const struct mu_ps_plan *plan, int64_t gradients)
{
    int64_t at = 0;
    while (gradients > 0 && at < MANY) {
        struct stretch stretch = stretch_at(plan, at);
        int64_t steps = gradients / stretch.sent + (gradients % stretch.sent > 0);
        if (steps <= stretch.end - at)
            return at + steps;
        gradients -= times(stretch.end - at, stretch.sent);
        at = stretch.end;
    }
    return at;
}
