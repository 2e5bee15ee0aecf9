/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_READERS_H
#define MU_PS_SERVER_READERS_H

#include "runtime/base/net.h"

/* Who does not read its answers. */
struct mu_ps_server;

/* Says that it is time to look, every now and then; NULL: nobody is cut off for it. */
enum mu_status mu_ps_readers_watch(struct mu_ps_server *server, struct mu_timer **ret_timer);
/* Cuts off whose patience is over: the failure says who. */
void mu_ps_readers_check(struct mu_ps_server *server);

#endif
