/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_TASK_CLUSTER_H
#define MU_ROLES_TASK_CLUSTER_H

#include "cluster/cluster.h"
#include "roles/task.h"

/* Opens and joins the cluster for a task, on the thread that owns the loop. `*ret_cluster` is the
 * caller's to destroy whatever is returned; NULL if it was not made. */
enum mu_status mu_task_join(struct mu_task_run *run, struct mu_loop *loop, uint32_t layout_crc32c,
    struct mu_activity *activity, struct mu_cluster **ret_cluster);

/* The links of a task, on that thread. Both call, or wait to be called, for as long as a step may
 * take; who did not come is blamed. */
enum mu_status mu_task_dial(const struct mu_task_run *run, struct mu_cluster *cluster, int task,
    int kind, uint32_t lane, struct mu_link **ret_link);
enum mu_status mu_task_answer(const struct mu_task_run *run, struct mu_cluster *cluster, int task,
    int kind, uint32_t lane, const char *what, struct mu_link **ret_link);
/* mu_cluster_blame, if there is something to blame for. */
enum mu_status mu_task_blame(struct mu_cluster *cluster, enum mu_status status, int task,
    const char *what, int64_t since_ns);

#endif
