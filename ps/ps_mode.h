/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_PS_MODE_H
#define MU_PS_PS_MODE_H

#include "muster/policy.h"

/*
 * How gradients become steps and who waits for whom. The policy says what a gradient is worth, the
 * mode whether it is a step of its own or gathered with others, and when its worker may go on.
 *
 *   async     each gradient is a step; nobody waits (Dean et al. 2012)
 *   softsync  the mean of `gradients` of them is a step; nobody waits (Zhang et al. 2016)
 *   sync      the mean of the first `workers` is a step, and their workers wait for it; what is
 *             late is dropped and its worker sent on at once (Chen et al. 2016)
 *   bounded   each gradient is a step; who is more than `bound` gradients ahead of the slowest
 *             waits for it (stale synchronous parallel, Ho et al. 2013)
 *
 * A replica that has left counts no more: the others do not wait for it. What was gathered when the
 * last of those left that it waited for is applied, as the mean of what there is.
 *
 * Pure: all that is decided follows from the arguments.
 */
enum mu_ps_mode_kind { MU_PS_ASYNC, MU_PS_SOFTSYNC, MU_PS_SYNC, MU_PS_BOUNDED };

struct mu_ps_mode {
    enum mu_ps_mode_kind kind;
    int workers;          /* sync: 1 or more */
    int gradients;        /* softsync: 1 or more */
    int64_t bound;        /* bounded: 0 or more; also for the policy */
    int64_t warmup_steps; /* replica 0 trains alone until this version */
    /* sync, bounded: > 0: from so many measured steps it is chosen how many workers there are, or
     * the bound (server_auto.c). Until then all replicas are workers, and the bound is 0. */
    int64_t auto_steps;
};

struct mu_ps_decision {
    struct mu_judgement judgement;
    int average; /* > 0: this gradient completes a step, the mean of so many */
    /* The reply waits until the servers are at this version, and until the slowest worker has this
     * clock. 0: it does not. */
    int64_t version_awaited;
    uint64_t clock_awaited;
};

struct mu_ps_decision mu_ps_mode_decide(const struct mu_ps_mode *mode,
    const struct mu_policy_ops *policy, const void *policy_options,
    const struct mu_push_facts *push);
/* The clock that the slowest worker must have for one with this clock to go on; 0: it need not wait
 * for it. An answer that is held is asked by the mode of now, not by that of its verdict. */
uint64_t mu_ps_mode_clock_awaited(const struct mu_ps_mode *mode, uint64_t clock);
/* A replica has left, `active_count` go on and `gathered` gradients wait: the mean of how many is a
 * step now? 0: none is. */
int mu_ps_mode_left(const struct mu_ps_mode *mode, int gathered, int active_count);
/* The version until which the first pull of a worker waits; 0: it does not. */
int64_t mu_ps_mode_first_pull(const struct mu_ps_mode *mode, int worker);
bool mu_ps_mode_gathers(const struct mu_ps_mode *mode);
/* What was chosen: the number of backups, or the bound. False: it cannot be. */
bool mu_ps_mode_choose(struct mu_ps_mode *mode, int replica_count, int64_t value);
/* "mode `sync` of 8 workers", for messages. */
void mu_ps_mode_text(const struct mu_ps_mode *mode, char *out, size_t bytes);

#endif
