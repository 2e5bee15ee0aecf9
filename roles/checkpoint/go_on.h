/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_GO_ON_H
#define MU_ROLES_GO_ON_H

#include "cluster/cluster.h"
#include "roles/job/job.h"
#include "roles/run_request.h"
#include <stdatomic.h>

#define MU_RUN_CLUSTER_NAME "cluster.json" /* in the run directory */

/* Is there anything to go on from? UNKNOWN: the leader, which saves, has its directory on another
 * host, or saves the first just now. */
enum mu_saved { MU_SAVED_UNKNOWN, MU_SAVED_NOTHING, MU_SAVED_SOME };

/* How to go on with a run that has failed or was stopped, to be pasted into a shell. Whoever saves
 * keeps it up to date, so that it is said without a look at a disk that may hang. */
struct mu_go_on {
    const struct mu_run_request *request;
    const struct mu_job *job;
    const struct mu_spec *spec;
    const char *directory; /* of the run */
    atomic_bool begun;     /* it has trained */
    /* MU_RUN_CLUSTER_NAME in `directory` has this cluster, as this host sees it. */
    atomic_bool has_cluster;
    _Atomic(enum mu_saved) saved;
    /* Who does not save asks the disk each time. NULL: `saved` holds. */
    enum mu_saved (*look)(const char *directory);
};

/* "build/muster run job.json --out runs/a --resume --set train.steps=9 --local 2" */
void mu_go_on_command(const struct mu_go_on *go_on, bool resumes, struct mu_text *out);
/* The command that starts one task of this cluster by hand, in a shell that no launcher made; adds
 * nothing where no file says who is in the cluster, or `--local` starts the tasks. */
void mu_go_on_start_command(const struct mu_go_on *go_on, int task, struct mu_text *out);
/* "to go on from the last checkpoint: " and the command; where there is none why, and the command
 * that begins anew, in up to MU_CLUSTER_GO_ON_MAX bytes. From any thread. */
void mu_go_on_say(const struct mu_go_on *go_on, char *out, size_t bytes);

/* By the writer of checkpoints, before and after each; both take NULL. */
void mu_go_on_note_saving(struct mu_go_on *go_on);
void mu_go_on_note_saved(struct mu_go_on *go_on);

#endif
