/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_AUDIT_H
#define MU_PS_SERVER_AUDIT_H

#include "ps/ps_bodies.h"

/* What a server writes into its audit log; nothing happens where there is none. */
struct mu_ps_server;
struct mu_ps_buffer;

void mu_ps_audit_begin(struct mu_ps_server *server);
bool mu_ps_audit_ready(const struct mu_ps_server *server);
enum mu_status mu_ps_audit_status(const struct mu_ps_server *server);
/* Before the verdict is carried out; `buffer` NULL: a loss. */
void mu_ps_audit_note(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict,
    const struct mu_ps_buffer *buffer);

#endif
