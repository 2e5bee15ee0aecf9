/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_JOB_PHASES_H
#define MU_ROLES_JOB_PHASES_H

#include "roles/job/job.h"

/*
 * The schedule of modes of a job: mode.schedule, a list of objects.
 *
 *   [{"from_step": 1000, "kind": "async", "policy": "scale"}, {"from_step": 5000, ...}]
 *
 * What an entry does not say stays as it was before it, but for workers and backups, which are of
 * mode `sync` alone.
 */

/* After the sections: fills job->phase. CONFIG: an entry that cannot be, or they are not in order.
 */
enum mu_status mu_job_phases_read(struct mu_log *log, struct mu_job *job);
void mu_job_phases_finish(struct mu_job *job);
/* As a member of the section: "schedule":[...]; nothing if there are no entries. */
void mu_job_phases_write(const struct mu_job *job, struct mu_text *out);
void mu_job_phases_describe(struct mu_text *out);
/* The entry, in the text of the job. */
struct mu_place mu_job_phases_place(const struct mu_job *job, int phase);

#endif
