/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_COMMUNICATOR_H
#define MU_ROLES_COMMUNICATOR_H

#include "runtime/base/net.h"
#include <stdatomic.h>

/*
 * The communication thread of a replica: it owns the event loop and everything on it (the cluster,
 * the links, the collectives), and runs one command at a time, straight through. Between commands,
 * and inside their waits, the loop turns, so heartbeats flow while a step is computed or waited
 * for.
 *
 *   training thread   post ---> queue ---> run on the communication thread ---> done ---> wait
 */
struct mu_command {
    enum mu_status (*run)(struct mu_command *command); /* on the communication thread */
    void *owner;
    enum mu_status status;
    bool done;
    struct mu_command *next;
};

struct mu_communicator {
    struct mu_world *world;
    struct mu_loop *loop; /* of the communication thread */
    struct mu_monitor *monitor;
    struct mu_thread *thread;
    struct mu_command *first, **last;
    bool ready, leaving;
    enum mu_status status; /* of making the loop */
    atomic_int cancelled;  /* loop->cancelled, for other threads */
};

/* The thread runs and has its loop when this returns. */
enum mu_status mu_communicator_start(struct mu_communicator *communicator, struct mu_world *world);
/* Everything on the loop must have been closed by a command before. Takes a zeroed one. */
void mu_communicator_stop(struct mu_communicator *communicator);

/* The command is the communicator's until wait has returned. Commands run in the order of posting.
 */
void mu_communicator_post(struct mu_communicator *communicator, struct mu_command *command);
/* Its deadline is the command's own business. */
enum mu_status mu_communicator_wait(
    struct mu_communicator *communicator, struct mu_command *command);
/* Both. */
enum mu_status mu_communicator_do(struct mu_communicator *communicator,
    enum mu_status (*run)(struct mu_command *command), void *owner);

#endif
