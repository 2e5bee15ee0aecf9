/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"
#include "collectives/choose.h"
#include "collectives/shared.h"
#include "runtime/base/crc32c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mu_status mu_group_init(
    struct mu_group *group, struct mu_world *world, struct mu_transport *transport)
{
    *group = (struct mu_group){.world = world, .transport = transport, .count = 1};
    group->timeout_ns = 300 * MU_SECOND;
    if (!transport)
        return MU_OK;
    group->rank = transport->rank;
    group->count = transport->count;
    group->scratch = aligned_alloc(4096, MU_OPS_IN_FLIGHT * MU_SEGMENT_BYTES);
    if (!group->scratch) {
        mu_group_finish(group);
        return MU_NO_MEMORY;
    }
    memset(group->scratch, 0, MU_OPS_IN_FLIGHT * MU_SEGMENT_BYTES);
    return MU_OK;
}

static void finish_child(struct mu_group *child)
{
    if (child)
        mu_group_finish(child);
    free(child);
}

void mu_group_finish(struct mu_group *group)
{
    finish_child(group->home);
    finish_child(group->abroad);
    mu_shared_close(group->shared);
    if (group->transport && !group->parent)
        group->transport->ops->close(group->transport);
    free(group->member);
    free(group->scratch);
    *group = (struct mu_group){0};
}

/* ---- messages ---- */

#define SEGMENT_BITS 24
#define STEP_BITS 12
#define SEQUENCE_BITS 20

uint64_t mu_group_tag(const struct mu_group *group, uint32_t step, uint64_t segment)
{
    uint64_t sequence = group->signature.sequence & ((1u << SEQUENCE_BITS) - 1);
    assert(step < 1u << STEP_BITS && segment < 1u << SEGMENT_BITS);
    return (uint64_t)(group->id & 0xff) << (SEQUENCE_BITS + STEP_BITS + SEGMENT_BITS) |
           sequence << (STEP_BITS + SEGMENT_BITS) | (uint64_t)step << SEGMENT_BITS | segment;
}

void mu_group_send(struct mu_group *group, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    group->transport->ops->send(group->transport, op, mu_group_peer(group, rank), tag, from, bytes);
}

void mu_group_receive(
    struct mu_group *group, struct mu_op *op, int rank, uint64_t tag, void *to, size_t bytes)
{
    group->transport->ops->receive(
        group->transport, op, mu_group_peer(group, rank), tag, to, bytes);
}

static int rank_of_peer(const struct mu_group *group, int peer)
{
    if (!group->member)
        return peer;
    for (int rank = 0; rank < group->count; rank++)
        if (group->member[rank] == peer)
            return rank;
    return -1;
}

enum mu_status mu_group_wait(
    struct mu_group *group, struct mu_op *op, int64_t deadline_ns, int *ret_rank)
{
    enum mu_status status = group->transport->ops->wait(group->transport, op, deadline_ns);
    if (status != MU_OK)
        *ret_rank = rank_of_peer(group, op->rank);
    return status;
}

/* ---- running a request ---- */

static void sign(struct mu_group *group, const struct mu_request *request)
{
    group->signature = (struct mu_signature){
        .group = group->id,
        .sequence = ++group->sequence,
        .kind = (uint8_t)request->kind,
        .dtype = (uint8_t)request->dtype,
        .wire = (uint8_t)request->wire,
        .reduction = (uint8_t)request->reduction,
        .root = request->root,
        .counts_crc = request->counts ? mu_crc32c(0, request->counts,
                                            (size_t)group->count * sizeof(*request->counts))
                                      : 0,
        .count = request->count,
    };
}

static void alone(const struct mu_request *request)
{
    if (request->kind == MU_ALLTOALL && request->data != request->from)
        memcpy(request->data, request->from, request->count * mu_dtype_bytes(request->dtype));
}

enum mu_status mu_group_run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    *ret_rank = -1;
    sign(group, request);
    if (group->count == 1) {
        alone(request);
        return MU_OK;
    }
    const struct mu_algorithm *algorithm = mu_choose(group, request);
    if (!algorithm)
        return MU_CONFIG;
    group->signature.algorithm = (uint8_t)mu_choose_place(algorithm);
    group->transport->signature = &group->signature;
    return algorithm->run(group, request, deadline_ns, ret_rank);
}
