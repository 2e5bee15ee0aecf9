/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring_broadcast.h"

#define SEGMENT_BYTES MU_SEGMENT_BYTES
/* Not to be mixed up with the tags of an all-reduce of the same sequence. */
#define BROADCAST_TAG (UINT64_C(1) << 63)

static enum mu_status wait_for(
    struct mu_group *group, struct mu_op *op, int64_t deadline_ns, int *ret_rank)
{
    enum mu_status status = group->transport->ops->wait(group->transport, op, deadline_ns);
    if (status != MU_OK)
        *ret_rank = op->rank;
    return status;
}

/*
 *   root:  send 0, send 1, ...
 *   next:  receive 0, send 0 | receive 1, send 1 | ...     the last rank only receives
 */
enum mu_status mu_ring_broadcast(
    struct mu_group *group, int root, void *data, size_t bytes, int64_t deadline_ns, int *ret_rank)
{
    int right = (group->rank + 1) % group->count;
    int left = (group->rank + group->count - 1) % group->count;
    bool receives = group->rank != root, sends = right != root;
    uint64_t tag = BROADCAST_TAG | (uint64_t)group->sequence++ << 31;
    if (group->count == 1)
        return MU_OK;
    for (size_t done = 0, i = 0; done < bytes; done += SEGMENT_BYTES, i++) {
        char *at = (char *)data + done;
        size_t part = bytes - done < SEGMENT_BYTES ? bytes - done : SEGMENT_BYTES;
        if (receives) {
            group->transport->ops->receive(
                group->transport, &group->receive[0], left, tag + i, at, part);
            MU_TRY(wait_for(group, &group->receive[0], deadline_ns, ret_rank));
        }
        if (i > 0 && sends)
            MU_TRY(wait_for(group, &group->send[0], deadline_ns, ret_rank));
        if (sends)
            group->transport->ops->send(
                group->transport, &group->send[0], right, tag + i, at, part);
    }
    if (sends && bytes > 0)
        MU_TRY(wait_for(group, &group->send[0], deadline_ns, ret_rank));
    return MU_OK;
}
