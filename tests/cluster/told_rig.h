/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_TOLD_RIG_H
#define MU_TEST_TOLD_RIG_H

#include "cluster/cluster_inside.h"
#include "test.h"

/* A cluster of three tasks without links, for what is told of them: a test sets who is lost, who
 * has failed and who waits. */
#define TASKS 3

struct rig {
    struct mu_test_log log;
    struct mu_world_ops ops;
    struct mu_world world;
    struct mu_loop loop;
    struct mu_task task[TASKS];
    struct mu_spec spec;
    struct mu_member member[TASKS + 1];
    struct mu_cluster cluster;
};

static inline int64_t rig_now_ns(struct mu_world *world)
{
    (void)world;
    return MU_SECOND;
}

/* The parts of it find each other; `task`, `spec`, `member` and `cluster` have the rest. */
static inline struct mu_cluster *rig_join(struct rig *rig)
{
    rig->ops = (struct mu_world_ops){.now_ns = rig_now_ns, .wall_ns = rig_now_ns};
    rig->world.ops = &rig->ops;
    rig->spec.task = rig->task;
    rig->spec.task_count = TASKS;
    rig->cluster.world = &rig->world;
    rig->cluster.loop = &rig->loop;
    rig->cluster.log = mu_test_log_init(&rig->log);
    rig->cluster.spec = &rig->spec;
    rig->cluster.member = rig->member;
    return &rig->cluster;
}

#endif
