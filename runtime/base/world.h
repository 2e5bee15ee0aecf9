/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_WORLD_H
#define MU_BASE_WORLD_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The world is an argument. Time, randomness, waiting, threads, the network and the checkpoint
 * store reach cluster/, collectives/, ps/ and roles/ only through this seam. Two worlds exist: the
 * real one (runtime/io: libuv, threads, disk) and the simulated one (sim/: one process, virtual
 * time, every thread of every task a fiber). One struct mu_world belongs to one task.
 *
 * All times are int64_t nanoseconds: `now` counts from an arbitrary start and never goes back;
 * deadlines are absolute values of `now`. MU_FOREVER is for waits whose end is somebody else's
 * deadline, never for the network.
 */
#define MU_MS INT64_C(1000000)
#define MU_SECOND INT64_C(1000000000)
#define MU_FOREVER INT64_MAX

struct mu_world;
struct mu_thread;
struct mu_monitor;
struct mu_loop;
struct mu_store;

struct mu_world_ops {
    const char *name; /* "real", "simulated" */

    int64_t (*now_ns)(struct mu_world *world);
    int64_t (*wall_ns)(struct mu_world *world); /* since 1970, for labels; may jump */
    /* For identities and jitter. What training draws comes from the job's seed instead. */
    void (*random_bytes)(struct mu_world *world, void *buffer, size_t bytes);
    void (*sleep_until)(struct mu_world *world, int64_t deadline_ns);
    /* The caller has just done `share` (0 to 1) of the arithmetic of training step `step`, forward
     * and backward together. Real time has passed by itself; virtual time passes here. */
    void (*computed)(struct mu_world *world, int64_t step, double share);

    /* A thread. `name` is borrowed and shows in tools. Join waits for its end and frees it; every
     * thread must be joined. UNAVAILABLE if it cannot be started. */
    enum mu_status (*spawn)(struct mu_world *world, const char *name, void (*run)(void *argument),
        void *argument, struct mu_thread **ret_thread);
    void (*join)(struct mu_world *world, struct mu_thread *thread);

    /* A lock with one condition (Hoare 1974, with Mesa's signals: look again after a wait). The
     * code inside must not block in any other way. */
    enum mu_status (*monitor_create)(struct mu_world *world, struct mu_monitor **ret_monitor);
    void (*monitor_destroy)(struct mu_world *world, struct mu_monitor *monitor); /* takes NULL */
    void (*enter)(struct mu_world *world, struct mu_monitor *monitor);
    void (*leave)(struct mu_world *world, struct mu_monitor *monitor);
    /* Leaves, waits for a notify or the deadline, enters again. TIMEOUT at the deadline. */
    enum mu_status (*wait)(struct mu_world *world, struct mu_monitor *monitor, int64_t deadline_ns);
    void (*notify)(struct mu_world *world, struct mu_monitor *monitor); /* wakes all; inside */

    /* Has the user or the launcher asked this task to stop (SIGTERM, ^C)? May be NULL: never. */
    bool (*stop_requested)(struct mu_world *world);

    /* Is that process of this host stopped (state T)? For messages. May be NULL: nobody knows. */
    bool (*process_stopped)(struct mu_world *world, int process);

    /* The network, see net.h. Owned by the thread that makes it. */
    enum mu_status (*loop_create)(struct mu_world *world, struct mu_loop **ret_loop);
};

struct mu_world {
    const struct mu_world_ops *ops;
    struct mu_store *store; /* where checkpoints go, see store.h; NULL: nowhere */
    const char *host;       /* name of this host, for messages and file names */
    int process;            /* id of this process, for messages and file names */
    int processors;         /* that this process may run on */
};

static inline int64_t mu_now(struct mu_world *world)
{
    return world->ops->now_ns(world);
}

static inline bool mu_stop_requested(struct mu_world *world)
{
    return world->ops->stop_requested && world->ops->stop_requested(world);
}

static inline bool mu_process_stopped(struct mu_world *world, int process)
{
    return world->ops->process_stopped && world->ops->process_stopped(world, process);
}

/* `from` + `duration`, saturating. */
static inline int64_t mu_deadline(int64_t from, int64_t duration)
{
    return duration >= MU_FOREVER - from ? MU_FOREVER : from + duration;
}

#endif
