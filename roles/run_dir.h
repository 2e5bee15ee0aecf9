/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_RUN_DIR_H
#define MU_ROLES_RUN_DIR_H

#include "roles/checkpoint/go_on.h"
#include "roles/job/job.h"
#include "roles/task.h"
#include "runtime/base/store.h"
#include "runtime/io/run_lock.h"

#define MU_RUN_DIR_PATH_MAX 896 /* bytes, with the 0: what lies in it fits into 1024 */

/* The run directory: what docs/RUN_DIRECTORY.md says, in the real world. */
struct mu_run_dir {
    char path[MU_RUN_DIR_PATH_MAX];
    struct mu_run_lock *lock; /* of the leader */
    struct mu_store *store;   /* of the leader and the evaluator */
};

/* Where the run directory is: `path`, or if that is NULL "runs/<name of the job>". CANNOT_CREATE:
 * it is too long. */
enum mu_status mu_run_dir_find(struct mu_log *log, const char *path, const struct mu_job *job,
    char ret_path[MU_RUN_DIR_PATH_MAX]);
/* Makes the folders; the leader locks it, writes job.json and cluster.json, and refuses to begin
 * anew where a run has left checkpoints. `path` as above. CANNOT_CREATE, NO_INPUT. */
enum mu_status mu_run_dir_open(struct mu_run_dir *dir, struct mu_log *log, const char *path,
    const struct mu_job *job, const struct mu_spec *spec, const struct mu_world *world,
    bool resume);
void mu_run_dir_close(struct mu_run_dir *dir); /* takes a zeroed one */
/* By a task that has joined a run and does not lead it: is the cluster of that run in its
 * directory, as this host sees it? Where none is, and no other run has the directory, it is
 * written. */
bool mu_run_dir_keep_cluster(const struct mu_run_dir *dir, const struct mu_spec *spec);
/* Has the leader saved anything in this directory, as far as this host sees? Asks the disk. */
enum mu_saved mu_run_dir_look(const char *directory);

#endif
