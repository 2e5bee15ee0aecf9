/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_SIM_JOB_H
#define MU_SIM_SIM_JOB_H

#include "roles/task.h"
#include "sim/simulate.h"

/* A whole job on a simulated cluster: the very roles of `muster run`, on virtual time. */
struct mu_sim_job {
    const struct mu_job *job;
    int replicas; /* the first of them the chief */
    int servers;
    bool has_evaluator; /* it looks at every checkpoint that it comes to see */
    uint64_t seed;
    struct mu_sim_compute compute;
    int64_t link_bits_per_second, link_latency_ns;
    const char *out_dir;
    struct mu_store *store; /* for checkpoints, instead of one in memory; borrowed */
    struct mu_go_on *go_on; /* of the leader; NULL: nobody knows */
    bool resume;
    const struct mu_sim_faults *faults; /* NULL: none */
    /* A task that the faults have killed by then starts again at this time; 0: none does. */
    int restarted;
    int64_t restart_ns;
    /* (replicas + servers + evaluator) How each task ended; of one that was killed: UNAVAILABLE.
     * NULL: nobody asks. */
    enum mu_status *statuses;
};

/* Runs it to its end: the status of the leader, or BROKEN if the simulation itself could not go on.
 * What tasks say goes to `log`, and with everything that happened to out_dir/events.log. */
enum mu_status mu_sim_job_run(const struct mu_sim_job *simulated, struct mu_log *log);

#endif
