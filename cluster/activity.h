/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_ACTIVITY_H
#define MU_CLUSTER_ACTIVITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a task is doing, and since when: written by whichever of its threads does it, sent with each
 * heartbeat, and quoted when the task is missed. Reading to pushing make up a step.
 */
#define MU_ACTIVITY_ROWS(ROW)                                                                      \
    ROW(STARTING, "starting", false)                                                               \
    ROW(LOADING, "loading data", false)                                                            \
    ROW(READING, "waiting for a batch of step", true)                                              \
    ROW(COMPUTING, "computing step", true)                                                         \
    ROW(REDUCING, "in the all-reduce of step", true)                                               \
    ROW(UPDATING, "updating parameters in step", true)                                             \
    ROW(PUSHING, "waiting for the parameter servers in step", true)                                \
    ROW(SERVING, "serving at version", true)                                                       \
    ROW(SAVING, "saving the checkpoint of step", true)                                             \
    ROW(EVALUATING, "evaluating at step", true)                                                    \
    ROW(ENDING, "ending after step", true)                                                         \
    ROW(AWAITING, "waiting for a parameter server to come back, after step", true)                 \
    ROW(FOLLOWING, "waiting for a checkpoint after step", true)

#define MU_ACTIVITY_ENUM(name, text, numbered) MU_DOING_##name,
enum mu_doing { MU_ACTIVITY_ROWS(MU_ACTIVITY_ENUM) MU_DOING_COUNT };
#undef MU_ACTIVITY_ENUM

struct mu_activity {
    atomic_int doing;
    _Atomic int64_t step;       /* the first one is 1; of what comes between steps, the last */
    _Atomic int64_t since_ns;   /* of the world's clock */
    _Atomic int64_t collective; /* collectives entered so far: who is behind shows here */
    _Atomic int64_t samples;    /* trained by this task in this run */
    _Atomic double loss;        /* of its last step, mean over rows */
    _Atomic double accuracy;
};

void mu_activity_set(
    struct mu_activity *activity, enum mu_doing doing, int64_t step, int64_t now_ns);
/* "computing step 812" */
void mu_activity_text(int doing, int64_t step, char *out, size_t bytes);

#endif
