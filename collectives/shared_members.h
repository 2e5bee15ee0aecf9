/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHARED_MEMBERS_H
#define MU_COLLECTIVES_SHARED_MEMBERS_H

#include "collectives/group.h"

/* The ranks of a group that is not the whole of its transport, as a transport of their own: what
 * is collective over a transport serves a sub-group too. Borrows the group's transport and members;
 * has no `seen`. NO_MEMORY. */
enum mu_status mu_shared_members_open(
    const struct mu_group *group, struct mu_transport **ret_transport);

#endif
