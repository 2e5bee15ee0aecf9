/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_HEAL_H
#define MU_PS_SERVER_HEAL_H

#include "runtime/io/link.h"

/* Links between servers that break while both live. */
struct mu_ps_server;
struct mu_ps_peer;

/* The link of another server has ended. False: it does not come back. */
bool mu_ps_heal_ended(struct mu_ps_peer *peer, enum mu_status why);
void mu_ps_heal_lose(struct mu_ps_peer *peer);      /* the server is lost */
void mu_ps_heal_check(struct mu_ps_server *server); /* fails when patience is over */
/* Before a link is added, the first one or another. False: the server is lost. On a follower then
 * what is missing of both sides is asked for; on the head: a follower asks. */
bool mu_ps_heal_begin(struct mu_ps_peer *peer);
void mu_ps_heal_ask(struct mu_ps_peer *head);
enum mu_link_answer mu_ps_heal_frame(struct mu_ps_peer *peer, const struct mu_frame *frame);
void mu_ps_heal_arrived(struct mu_ps_peer *peer);
void mu_ps_heal_step(struct mu_ps_server *server);

#endif
