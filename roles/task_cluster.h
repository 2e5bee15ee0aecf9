/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_TASK_CLUSTER_H
#define MU_ROLES_TASK_CLUSTER_H

#include "cluster/cluster.h"
#include "roles/task.h"

/* Opens and joins the cluster for a task, on the thread that owns the loop. `*ret_cluster` is the
 * caller's to destroy whatever is returned; NULL if it was not made. */
enum mu_status mu_task_join(struct mu_task_run *run, struct mu_loop *loop, uint32_t layout_crc32c,
    struct mu_activity *activity, struct mu_cluster **ret_cluster);

#endif
