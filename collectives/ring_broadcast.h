/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_RING_BROADCAST_H
#define MU_COLLECTIVES_RING_BROADCAST_H

#include "collectives/group.h"

/* Copies `bytes` of memory from rank `root` to all, once around the ring, in segments: each rank
 * passes on what it has got. Bits are copied, not added. Fails like mu_ring_allreduce. */
enum mu_status mu_ring_broadcast(
    struct mu_group *group, int root, void *data, size_t bytes, int64_t deadline_ns, int *ret_rank);

#endif
