/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_RUN_H
#define MU_ROLES_RUN_H

#include "roles/job/job.h"
#include "roles/run_request.h"

/* Runs one task in the real world, to its end: the run directory, the log, the store, the data, the
 * role. `spec` says who we are; NULL: the ranks of mpirun tell each other. What went wrong has been
 * said; the returned status is the process's exit code. */
enum mu_status mu_run(struct mu_log *log, const struct mu_run_request *request,
    const struct mu_job *job, const struct mu_spec *spec);

/* Silence after which a task counts as lost. */
int64_t mu_run_dead_ns(enum mu_failure_detection detection);

#endif
