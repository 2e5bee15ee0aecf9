/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_FAULTS_H
#define MU_SIM_FAULTS_H

#include "runtime/base/world.h"

/*
 * What goes wrong. The simulation asks these at every point where something could; they answer from
 * their arguments and their own state (a seed), so that a run repeats. A member that is NULL
 * answers 0. Faults at a known time are easier said with mu_sim_pause and mu_sim_kill.
 */
#define MU_SIM_KILL INT64_C(-1)

struct mu_sim_faults {
    void *owner;
    /* What is added to the latency of bytes that set out now from one task to another. MU_FOREVER:
     * they never arrive, nor does anything after them on that connection: silence, no error. */
    int64_t (*link_delay_ns)(void *owner, int from, int to, int64_t now_ns);
    /* A thread of the task is about to run. 0: it does; > 0: the whole task stops for so long;
     * MU_SIM_KILL: it dies. */
    int64_t (*task_stop_ns)(void *owner, int task, int64_t now_ns);
    /* A share of a step's arithmetic begins. What it takes longer than drawn: the thread that
     * computes is stuck, the others of its task run. */
    int64_t (*compute_delay_ns)(void *owner, int task, int64_t step);
};

#endif
