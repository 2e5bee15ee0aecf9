/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_RELINK_H
#define MU_ROLES_RELINK_H

#include "cluster/cluster.h"
#include "roles/task.h"

/*
 * Links to the seats of parameter servers (ps/seats.h): the first ones, which are waited for, and
 * those that are made anew while both ends live. On the thread of the loop.
 */

/* One that has links to seats: a client, a snapshot, a server. */
struct mu_relink_ops {
    int kind;
    /* The first seat from this one on whose link has ended; -1: none. */
    int (*unlinked)(const void *owner, int seat);
    int64_t (*unlinked_since_ns)(const void *owner, int seat);
    /* The link is the owner's. */
    void (*add)(void *owner, int seat, struct mu_link *link);
};

struct mu_relink {
    const struct mu_relink_ops *ops;
    void *owner;
    const struct mu_task_run *run;
    struct mu_cluster *cluster;
    uint32_t
        lane; /* of the link to seat 0, a multiple of MU_PS_SEATS_MAX; those to others follow */
};

/* The task at this seat. */
int mu_relink_task(const struct mu_spec *spec, int seat);
/* The first link to this seat. */
enum mu_status mu_relink_make(const struct mu_relink *relink, int seat);
/* Now and then: adds the link that was called for, if it has come, and calls for the next one. The
 * owners, of different lanes, share one redial. */
void mu_relink_look(const struct mu_relink relinks[], int count, struct mu_redial *redial);

#endif
