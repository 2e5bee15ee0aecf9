/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_STATUS_KEEPER_H
#define MU_ROLES_STATUS_KEEPER_H

#include "roles/job/job.h"
#include "roles/report/status_page.h"

/*
 * Keeps status.json of a run directory, in the real world only: a thread of its own writes it, so
 * that a disk that hangs stops neither training nor heartbeats. The file is replaced whole and not
 * synced: it is for now, and a reader never meets half of it.
 *
 *   training thread       enter, progress, leave
 *   communication thread  enter, tasks, leave and write, every second
 *   the keeper's          the text, aside; the rename
 */
#define MU_STATUS_EVERY_NS MU_SECOND

struct mu_status_keeper;

/* Writes the first page: starting. NO_MEMORY, UNAVAILABLE. A file that cannot be written is said
 * once, and the run goes on. */
enum mu_status mu_status_keeper_start(struct mu_world *world, struct mu_log *log,
    const char *directory, const struct mu_job *job, const struct mu_spec *spec,
    int64_t started_wall_ns, struct mu_status_keeper **ret_keeper);
/* The page, for the caller alone until leave. From any thread. */
struct mu_status_page *mu_status_keeper_enter(struct mu_status_keeper *keeper);
void mu_status_keeper_leave(struct mu_status_keeper *keeper, bool write);
/* The run is about to end with this code: for who is killed before it has stopped this. */
void mu_status_keeper_foresee(struct mu_status_keeper *keeper, int exit);
/* Writes the last page, with the exit code and what the log has said first; takes NULL. */
void mu_status_keeper_stop(struct mu_status_keeper *keeper, int exit);

#endif
