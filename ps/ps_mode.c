/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/ps_mode.h"
#include "ps/ps_limits.h"
#include "runtime/base/text.h"
#include <assert.h>

static const struct mu_judgement drop = {MU_VERDICT_DROP, 0};
static const struct mu_judgement refuse = {MU_VERDICT_REFUSE, 0};

static bool counts(enum mu_verdict verdict)
{
    return verdict != MU_VERDICT_DROP && verdict != MU_VERDICT_REFUSE;
}

/* ---- one mode each ---- */

static void softsync(const struct mu_ps_mode *mode, const struct mu_push_facts *push,
    struct mu_ps_decision *decision)
{
    int gathered = push->gathered + 1;
    decision->judgement.verdict = MU_VERDICT_GATHER;
    decision->average = gathered >= mode->gradients ? gathered : 0;
}

/* Of fewer replicas than a step takes, a step takes all. */
static int wanted(const struct mu_ps_mode *mode, int active_count)
{
    return mode->workers < active_count ? mode->workers : active_count;
}

static void sync_first(const struct mu_ps_mode *mode, const struct mu_push_facts *push,
    struct mu_ps_decision *decision)
{
    int gathered = push->gathered + 1;
    decision->judgement.verdict = MU_VERDICT_GATHER;
    decision->average = gathered >= wanted(mode, push->active_count) ? gathered : 0;
    decision->version_awaited = (int64_t)push->version + 1;
}

/* ---- all of them ---- */

static struct mu_judgement judge(const struct mu_ps_mode *mode, const struct mu_policy_ops *policy,
    const void *policy_options, const struct mu_push_facts *push)
{
    if (push->is_flawed)
        return refuse;
    if (mode->kind == MU_PS_SYNC && !push->warming_up && push->staleness > 0)
        return drop;
    return policy->judge(policy_options, push);
}

struct mu_ps_decision mu_ps_mode_decide(const struct mu_ps_mode *mode,
    const struct mu_policy_ops *policy, const void *policy_options,
    const struct mu_push_facts *push)
{
    struct mu_ps_decision decision = {.judgement = judge(mode, policy, policy_options, push)};
    assert(decision.judgement.verdict != MU_VERDICT_GATHER); /* that is the mode's to say */
    bool joins = counts(decision.judgement.verdict);
    if (push->warming_up || mode->kind == MU_PS_ASYNC)
        return decision;
    if (mode->kind == MU_PS_BOUNDED)
        decision.clock_awaited = mu_ps_mode_clock_awaited(mode, push->clock);
    else if (mode->kind == MU_PS_SOFTSYNC && joins)
        softsync(mode, push, &decision);
    else if (mode->kind == MU_PS_SYNC && joins)
        sync_first(mode, push, &decision);
    return decision;
}

uint64_t mu_ps_mode_clock_awaited(const struct mu_ps_mode *mode, uint64_t clock)
{
    uint64_t bound = (uint64_t)mode->bound;
    return mode->kind == MU_PS_BOUNDED && clock > bound ? clock - bound : 0;
}

int mu_ps_mode_left(const struct mu_ps_mode *mode, int gathered, int active_count)
{
    if (gathered == 0)
        return 0;
    if (mode->kind == MU_PS_SYNC)
        return gathered >= wanted(mode, active_count) ? gathered : 0;
    return active_count == 0 ? gathered : 0;
}

int64_t mu_ps_mode_first_pull(const struct mu_ps_mode *mode, int worker)
{
    return worker == 0 ? 0 : mode->warmup_steps;
}

bool mu_ps_mode_gathers(const struct mu_ps_mode *mode)
{
    return mode->kind == MU_PS_SOFTSYNC || mode->kind == MU_PS_SYNC;
}

bool mu_ps_mode_choose(struct mu_ps_mode *mode, int replica_count, int64_t value)
{
    bool is_sync = mode->kind == MU_PS_SYNC;
    int64_t most = is_sync ? replica_count - 1 : MU_PS_BOUND_AUTO_MAX;
    if (mode->auto_steps == 0 || value < 0 || value > most)
        return false;
    if (is_sync)
        mode->workers = replica_count - (int)value;
    else
        mode->bound = value;
    return true;
}

void mu_ps_mode_text(const struct mu_ps_mode *mode, char *out, size_t bytes)
{
    switch (mode->kind) {
    case MU_PS_ASYNC:
        mu_format(out, bytes, "mode `async`");
        break;
    case MU_PS_SOFTSYNC:
        mu_format(out, bytes, "mode `softsync` of %d gradients", mode->gradients);
        break;
    case MU_PS_SYNC:
        mu_format(out, bytes, "mode `sync` of %d workers", mode->workers);
        break;
    case MU_PS_BOUNDED:
        mu_format(out, bytes, "mode `bounded` by %lld", (long long)mode->bound);
        break;
    }
}
