/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_ORDER_H
#define MU_PS_SERVER_ORDER_H

#include "runtime/io/link.h"

/* The links between servers: notes of what is whole, to the head; verdicts, from it. */
struct mu_ps_server;
struct mu_ps_peer;
struct mu_ps_buffer;

/* Head: to one follower. */
void mu_ps_tell_snapshot(struct mu_ps_server *server, int seat, uint64_t snapshot_id);
/* The gradient (or pull) in this buffer is whole here. */
void mu_ps_here(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* To the head: which workers are cut off here; each once, and all again to a head that does not
 * know. */
void mu_ps_tell_losses(struct mu_ps_server *server);
/* The same of all that waits here, and of those. */
void mu_ps_tell_here(struct mu_ps_server *server);
/* Head: counts anew on how many servers each one is whole, after one of them was lost. */
void mu_ps_count_here(struct mu_ps_server *server);
enum mu_link_answer mu_ps_on_verdict(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
void mu_ps_verdict_arrived(struct mu_ps_peer *peer);

#endif
