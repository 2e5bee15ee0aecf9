/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_GROUP_H
#define MU_COLLECTIVES_GROUP_H

#include "collectives/transport.h"
#include "runtime/tensor/arena.h"

/*
 * The ranks that do collectives together, as one of them sees it. Every rank calls the same
 * operations in the same order; `sequence` counts them and travels in the tags, so that two
 * operations cannot mix.
 */
#define MU_OPS_IN_FLIGHT 2

struct mu_group {
    struct mu_transport *transport; /* NULL in a group of one */
    int rank, count;
    uint32_t sequence;
    struct mu_arena scratch; /* two segments */
    /* What is under way. Here and not on a stack: after a failure the transport still knows them.
     */
    struct mu_op send[MU_OPS_IN_FLIGHT], receive[MU_OPS_IN_FLIGHT];
};

/* 256 KiB: added while it is still in the cache. */
#define MU_SEGMENT_COUNT ((size_t)64 << 10)

/* Takes the transport (which may be NULL for count 1). NO_MEMORY: it is closed. */
enum mu_status mu_group_init(struct mu_group *group, struct mu_transport *transport);
void mu_group_finish(struct mu_group *group); /* takes a zeroed one */

#endif
