/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLUSTER_DOOR_H
#define MU_CLUSTER_DOOR_H

#include "cluster/hello.h"

/*
 * The one listening port of a task. Whoever connects has MU_DOOR_GREETING_NS for a hello, and at
 * most MU_DOOR_STRANGERS_MAX may be without one at a time; then it is handed to `greeted`, which
 * adopts the link and returns true (the door answers with our hello), or says why not. A probe is
 * answered and never adopted: it hangs up by itself.
 */
#define MU_DOOR_GREETING_NS (2 * MU_SECOND)
#define MU_DOOR_STRANGERS_MAX 64

struct mu_door_stranger {
    struct mu_door *door;
    struct mu_link *link; /* NULL: this place is free */
    int64_t deadline_ns;
};

struct mu_door {
    struct mu_loop *loop;
    struct mu_log *log;
    struct mu_listener *listener;
    const struct mu_hello *ours;
    bool (*greeted)(void *owner, struct mu_link *link, const struct mu_hello *theirs,
        struct mu_refusal *ret_refusal);
    /* Somebody at `from` speaks another version of the protocol. */
    void (*other_version)(void *owner, const char *from, int version);
    void *owner;
    struct mu_door_stranger stranger[MU_DOOR_STRANGERS_MAX];
    struct mu_hello theirs; /* the hello at hand */
    uint64_t turned_away;   /* connections that never became links */
};

/* Listens. The caller has filled loop, log, ours, greeted and owner. On failure the errno. */
enum mu_status mu_door_open(
    struct mu_door *door, const struct mu_address *address, int inherited_fd, int *ret_error);
/* Turns away whoever has not said hello in time. To be called now and then. */
void mu_door_tick(struct mu_door *door, int64_t now_ns);
/* Takes no more calls. */
void mu_door_shut(struct mu_door *door); /* takes one that never opened */
/* Waits until those who were refused have heard why. */
void mu_door_flush(struct mu_door *door, int64_t deadline_ns);
void mu_door_close(struct mu_door *door); /* takes one that never opened */

#endif
