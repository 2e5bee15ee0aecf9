/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_SERVE_H
#define MU_PS_SERVER_SERVE_H

#include "ps/ps_bodies.h"

/* Places in the order: what a server does with a gradient, from its verdict to its answer. */
struct mu_ps_server;
struct mu_ps_buffer;

/* Head: what changes with a worker, to the followers. */
void mu_ps_tell_change(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
enum mu_status mu_ps_check_version(
    const struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
/* The next place in the order: judged on the head, carried out, and answered or held. */
enum mu_status mu_ps_serve_buffer(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* A worker that goes on no more although it has not said so. */
enum mu_status mu_ps_serve_loss(struct mu_ps_server *server, int worker);

/* Where those that wait can go on. */
void mu_ps_release(struct mu_ps_server *server);
/* The least clock of those that go on, `except` one (-1: none); UINT64_MAX: there is none. */
uint64_t mu_ps_slowest(const struct mu_ps_server *server, int except);

#endif
