/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PS_LINKS_H
#define MU_ROLES_PS_LINKS_H

#include "cluster/cluster.h"
#include "ps/server/server.h"
#include "roles/task.h"

/*
 * The links of a parameter server's process, which sits at one seat, or with standbys at two
 * (ps/seats.h): between any seat and the head, and the deputy; from each replica to each seat; and
 * from the leader. On the thread of its loop.
 */
struct mu_ps_links {
    struct mu_task_run *run;
    struct mu_cluster *cluster;
    struct mu_ps_server *server[2]; /* (count), borrowed */
    int seat[2];
    int count;
    bool made;
    struct mu_redial redial; /* to servers whose link broke */
};

/* At the start of a generation: calls the other servers and waits for all who call. */
enum mu_status mu_ps_links_make(struct mu_ps_links *links);
/* Now and then: those that broke. Takes those that others have made anew, and calls for its own. */
void mu_ps_links_take(struct mu_ps_links *links);
void mu_ps_links_finish(struct mu_ps_links *links); /* takes a zeroed one */
/* The process of ps/`order` is gone. */
void mu_ps_links_lose(struct mu_ps_links *links, int order);
/* Whom the last failure of a server was about. */
int mu_ps_links_culprit(const struct mu_ps_links *links);

#endif
