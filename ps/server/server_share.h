/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_SHARE_H
#define MU_PS_SERVER_SHARE_H

#include "runtime/io/link.h"

/* Memory that a worker of this host shares with a server. */
struct mu_ps_server;
struct mu_ps_peer;
struct mu_ps_buffer;

enum mu_link_answer mu_ps_share_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
/* All elements of a gradient that lies in memory that its worker shares; others were looked at as
 * they came. */
void mu_ps_share_look(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* Where the gradient comes from and the answer goes, 0: with the frames. False: a place is not in
 * the memory that the worker shares. */
bool mu_ps_share_places(
    struct mu_ps_peer *peer, struct mu_ps_buffer *buffer, int64_t gradient_at, int64_t fresh_at);
/* Memory of before an exchange goes as soon as nothing in it is under way; that of a worker that
 * has gone, too. */
void mu_ps_share_drop(struct mu_ps_peer *peer);
void mu_ps_share_close(struct mu_ps_peer *peer); /* at the end of the server */

#endif
