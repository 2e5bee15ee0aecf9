/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_WORLD_H
#define MU_SIM_WORLD_H

#include "runtime/base/random.h"
#include "sim/sim_net.h"

/*
 * The simulated driver of runtime/base/world.h, one for each task. Threads are strands, monitors
 * need no lock (nobody else runs), and time passes only while all wait.
 */
#define MU_SIM_WALL_START_NS (INT64_C(1767225600) * MU_SECOND) /* 2026-01-01T00:00:00Z */

/* How long a training step computes: `mean_ns` always, or drawn with that mean from exp(sigma z),
 * z standard normal; and now and then, for this fraction of the steps, so many times as long, as
 * stragglers do (Chen et al. 2016 measured such tails). At most MU_SIM_COMPUTE_NS_MAX. */
struct mu_sim_compute {
    enum { MU_SIM_COMPUTE_FIXED, MU_SIM_COMPUTE_LOGNORMAL } kind;
    int64_t mean_ns;
    double sigma;
    double straggle_fraction; /* 0: none */
    double straggle_factor;
};
#define MU_SIM_COMPUTE_NS_MAX (INT64_C(365) * 24 * 3600 * MU_SECOND)

/* A pure function of its arguments: what a step costs does not depend on when it is asked. */
int64_t mu_sim_compute_ns(
    const struct mu_sim_compute *compute, uint64_t seed, int task, int64_t step);

struct mu_sim_world {
    struct mu_world world;
    struct mu_crew *crew;
    struct mu_sim_host *host;
    const struct mu_sim_compute *compute;
    uint64_t seed;
    int task;
    struct mu_random random;
};

void mu_sim_world_init(struct mu_sim_world *sim, struct mu_crew *crew, struct mu_sim_host *host,
    const struct mu_sim_compute *compute, uint64_t seed, int task);

#endif
