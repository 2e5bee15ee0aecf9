/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_GROUP_OPEN_H
#define MU_ROLES_GROUP_OPEN_H

#include "collectives/build.h"
#include "muster/collectives.h"
#include "runtime/base/net.h"

/* Where this process stands in a group that needs nothing else: what mu_group_open finds out. */
struct mu_group_place {
    int rank, count;
    const struct mu_address *address; /* (count) */
    int listen_fd; /* bound to address[rank]; taken, also on failure; -1: to be bound */
    int *process;  /* (count) what errors say they are, on their hosts; NULL: not known */
    uint64_t id;   /* of the group, see mesh.h; 0: made of the addresses */
};

/* mu_group_open for a caller that knows all of this; `place` NULL: the place that MPI gives, for
 * the transport mpi. The log of `options` must outlive the group. */
enum mu_status mu_group_open_place(const struct mu_group_place *place,
    const struct mu_build_options *options, int64_t start_timeout_ns, struct mu_group **ret_group);

#endif
