/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_PS_PLAN_H
#define MU_PS_PS_PLAN_H

#include "ps/ps_mode.h"

/*
 * Which mode and policy hold at which version. A phase begins at a version, so with the first
 * parameters that it makes its own gradients from; all servers, and a replay, come to the same
 * phase from the version alone. When a version begins nothing is gathered, so no gradient is of two
 * phases.
 */
#define MU_PS_PHASES_MAX 16

struct mu_ps_phase {
    int64_t from; /* version */
    struct mu_ps_mode mode;
    const struct mu_policy_ops *policy;
    const void *policy_options; /* borrowed */
};

/* The first phase is from 0, the others from ever larger versions; the warm-up is of all. */
struct mu_ps_plan {
    int replica_count, phase_count;
    struct mu_ps_phase phase[MU_PS_PHASES_MAX];
};

/* The number of the phase that holds at a version. */
int mu_ps_plan_at(const struct mu_ps_plan *plan, int64_t version);
/* Do the clocks of workers begin anew with a phase? So they do where waiting for the slowest
 * begins: who was ahead before need not wait for that. */
bool mu_ps_plan_restarts_clocks(const struct mu_ps_plan *plan, int phase);

/* Of any phase: is anything gathered, the most that one step gathers, and a policy that corrects
 * (NULL: none), for the memory that a server needs. */
bool mu_ps_plan_gathers(const struct mu_ps_plan *plan);
int64_t mu_ps_plan_gathered_max(const struct mu_ps_plan *plan);
const struct mu_policy_ops *mu_ps_plan_correcting(const struct mu_ps_plan *plan);
/* Does a policy that corrects keep something of its own for each element? */
bool mu_ps_plan_adapts(const struct mu_ps_plan *plan);
/* Does any phase let workers wait for others? */
bool mu_ps_plan_waits(const struct mu_ps_plan *plan);

/* Gradients that all replicas send until `version`, from 0 and if none is dropped for its staleness
 * or refused: a step of `sync` takes one of each replica, whether it counts or is late. */
int64_t mu_ps_plan_gradients(const struct mu_ps_plan *plan, int64_t version);
/* Those of them that count. */
int64_t mu_ps_plan_counted(const struct mu_ps_plan *plan, int64_t version);
/* The version that so many gradients make: the first that mu_ps_plan_gradients gives as many to. */
int64_t mu_ps_plan_versions(const struct mu_ps_plan *plan, int64_t gradients);

#endif
