/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_AUTO_H
#define MU_PS_SERVER_AUTO_H

#include "ps/ps_bodies.h"
#include "ps/server/arrivals.h"
#include "ps/server/server.h"

/* Choosing backups or a bound: on the head and its deputy, if some phase of the plan has
 * auto_steps; else nothing happens. */
struct mu_ps_server;

enum mu_ps_auto_state {
    MU_PS_AUTO_IDLE,
    MU_PS_AUTO_WAITING,
    MU_PS_AUTO_MEASURING,
    MU_PS_AUTO_DUE,
    MU_PS_AUTO_CHECKING,
};

struct mu_ps_auto {
    enum mu_ps_auto_state state; /* head, and its deputy */
    struct mu_arrivals arrivals;
    /* (replica_count) when each was sent on; -1: not known; NULL: nothing is chosen here. */
    int64_t *sent_ns;
    int64_t since_ns, since_version; /* of the steps that are measured, or checked */
    int64_t last_ns;                 /* when the last gradient was served meanwhile */
    int64_t value;
    double gain, rate; /* predicted; gradients a second before it */
    struct mu_ps_chosen chosen;
    struct mu_ps_verdict_body told; /* follower: what the head says */
    bool told_queued;
};

enum mu_status mu_ps_auto_init(struct mu_ps_server *server); /* NO_MEMORY */
void mu_ps_auto_finish(struct mu_ps_server *server);
void mu_ps_auto_enter(struct mu_ps_server *server); /* a phase begins */
/* A gradient of this worker has come; an answer goes to it. */
void mu_ps_auto_came(struct mu_ps_server *server, int worker);
void mu_ps_auto_sent(struct mu_ps_server *server, int worker);
/* A gradient has been served. */
void mu_ps_auto_look(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
void mu_ps_auto_take_over(struct mu_ps_server *server); /* it has become the head */
/* Is a choice the next place in the order? On every server: what it changes. */
bool mu_ps_auto_due(const struct mu_ps_server *server);
/* Follower: what the head says. False: one is queued already. */
bool mu_ps_auto_told(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
enum mu_status mu_ps_auto_serve(struct mu_ps_server *server);

#endif
