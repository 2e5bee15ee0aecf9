/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PS_LOAD_H
#define MU_ROLES_PS_LOAD_H

#include "cluster/load.h"
#include "ps/server/server.h"
#include "watch/event_file.h"

/* The load of a parameter server as numbers with names (cluster/load.h). */
void mu_ps_load_of(const struct mu_ps_server *server, struct mu_load *ret_load);
/* Adds what the same process does for a standby. The parameters and rows that it keeps are its
 * neighbour's, who counts them; the memory and the work are this process's. */
void mu_ps_load_add_standby(const struct mu_ps_server *standby, struct mu_load *load);
/* A point of each for TensorBoard: `ps/load/requests`, ... */
void mu_ps_load_write(
    const struct mu_load *load, struct mu_event_file *events, int64_t wall_ns, int64_t version);

#endif
