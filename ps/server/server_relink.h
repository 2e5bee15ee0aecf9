/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_RELINK_H
#define MU_PS_SERVER_RELINK_H

#include "ps/ps_bodies.h"
#include "runtime/io/link.h"

/* Workers that come back: with another link, or as another process. */
struct mu_ps_server;
struct mu_ps_peer;
struct mu_ps_buffer;

enum mu_status mu_ps_relink_init(struct mu_ps_server *server); /* NO_MEMORY */
/* Is what is answered now sent? */
bool mu_ps_relink_sends(const struct mu_ps_server *server, const struct mu_ps_buffer *buffer);
/* Remembers what is, or would be, answered now. */
void mu_ps_relink_note(struct mu_ps_server *server, const struct mu_ps_buffer *buffer,
    const struct mu_ps_fresh_body *fresh);
/* The link of a worker is gone, or is to go. */
void mu_ps_relink_end(struct mu_ps_peer *peer);
/* READY, and what comes again. False: it is a frame like others. */
bool mu_ps_relink_frame(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body,
    enum mu_link_answer *ret_answer);
void mu_ps_relink_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* The loss of a worker at its place in the order: nothing more is taken from it. */
void mu_ps_relink_lose(struct mu_ps_server *server, int worker);
/* A place in the order: judged on the head, and done. */
enum mu_status mu_ps_relink_join(struct mu_ps_server *server, int worker);

#endif
