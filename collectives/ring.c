/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring.h"
#include "collectives/ring_index.h"
#include "runtime/device/kernels.h"

/*
 * Three ranks, chunks a b c; + is the sum so far. Reduce-scatter, then all-gather:
 *
 *            rank 0        rank 1        rank 2
 *   start    a0 b0 c0      a1 b1 c1      a2 b2 c2
 *   step 0   a0 ->         b1 ->         c2 ->          each sends to its right neighbour
 *            a0 b0 c+      a+ b1 c1      a2 b+ c2       and adds what comes from its left
 *   step 1   c+ ->         a+ ->         b+ ->
 *            a0 B  c+      a+ b1 C       A  b+ c2       one whole sum at each rank
 *   step 2   B  ->         C  ->         A  ->
 *            A  B  c+      a+ B  C       A  b+ C
 *   step 3   A  ->         B  ->         C  ->
 *            A  B  C       A  B  C       A  B  C
 *
 * A chunk travels in segments, two under way at a time: while one is being added the next arrives.
 */
#define IN_FLIGHT MU_OPS_IN_FLIGHT

/* One step of the ring: a chunk goes right while another comes from the left. */
struct step {
    struct mu_group *group;
    float *data;
    struct mu_span sent, received;
    bool adds; /* what comes is added; otherwise it replaces */
    uint64_t tag;
};

static float *landing(struct step *step, struct mu_span segment, size_t index)
{
    return step->adds ? step->group->scratch.data + index % IN_FLIGHT * MU_SEGMENT_COUNT
                      : step->data + segment.first;
}

static void post_receive(struct step *step, size_t index)
{
    struct mu_group *group = step->group;
    if (index >= mu_ring_segments(step->received.count, MU_SEGMENT_COUNT))
        return;
    struct mu_span segment = mu_ring_segment(step->received, MU_SEGMENT_COUNT, index);
    int left = (group->rank + group->count - 1) % group->count;
    group->transport->ops->receive(group->transport, &step->group->receive[index % IN_FLIGHT], left,
        step->tag + index, landing(step, segment, index), segment.count * sizeof(float));
}

static void post_send(struct step *step, size_t index)
{
    struct mu_group *group = step->group;
    if (index >= mu_ring_segments(step->sent.count, MU_SEGMENT_COUNT))
        return;
    struct mu_span segment = mu_ring_segment(step->sent, MU_SEGMENT_COUNT, index);
    int right = (group->rank + 1) % group->count;
    group->transport->ops->send(group->transport, &step->group->send[index % IN_FLIGHT], right,
        step->tag + index, step->data + segment.first, segment.count * sizeof(float));
}

static enum mu_status wait_for(
    struct step *step, struct mu_op *op, int64_t deadline_ns, int *ret_rank)
{
    struct mu_transport *transport = step->group->transport;
    enum mu_status status = transport->ops->wait(transport, op, deadline_ns);
    if (status != MU_OK)
        *ret_rank = op->rank;
    return status;
}

static enum mu_status run_step(struct step *step, int64_t deadline_ns, int *ret_rank)
{
    size_t receives = mu_ring_segments(step->received.count, MU_SEGMENT_COUNT);
    size_t sends = mu_ring_segments(step->sent.count, MU_SEGMENT_COUNT);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        post_receive(step, i);
        post_send(step, i);
    }
    for (size_t i = 0; i < receives || i < sends; i++) {
        if (i < receives) {
            MU_TRY(wait_for(step, &step->group->receive[i % IN_FLIGHT], deadline_ns, ret_rank));
            struct mu_span segment = mu_ring_segment(step->received, MU_SEGMENT_COUNT, i);
            if (step->adds)
                mu_kernels()->add(
                    step->data + segment.first, landing(step, segment, i), segment.count);
            post_receive(step, i + IN_FLIGHT);
        }
        if (i < sends) {
            MU_TRY(wait_for(step, &step->group->send[i % IN_FLIGHT], deadline_ns, ret_rank));
            post_send(step, i + IN_FLIGHT);
        }
    }
    return MU_OK;
}

/* sequence, step of the ring, segment: each op of a run has a tag of its own. */
static uint64_t tag_of(uint32_t sequence, int step)
{
    return (uint64_t)sequence << 32 | (uint64_t)step << 20;
}

enum mu_status mu_ring_allreduce(
    struct mu_group *group, float *data, size_t count, int64_t deadline_ns, int *ret_rank)
{
    int ranks = group->count, rank = group->rank;
    uint32_t sequence = group->sequence++;
    struct step step = {.group = group, .data = data};
    assert(mu_ring_segments(count / (size_t)ranks + 1, MU_SEGMENT_COUNT) < 1u << 20);

    step.adds = true;
    for (int i = 0; i < ranks - 1; i++) {
        step.tag = tag_of(sequence, i);
        step.sent = mu_ring_chunk(count, ranks, mu_ring_reduce_sends(rank, ranks, i));
        step.received = mu_ring_chunk(count, ranks, mu_ring_reduce_receives(rank, ranks, i));
        MU_TRY(run_step(&step, deadline_ns, ret_rank));
    }
    step.adds = false;
    for (int i = 0; i < ranks - 1; i++) {
        step.tag = tag_of(sequence, ranks - 1 + i);
        step.sent = mu_ring_chunk(count, ranks, mu_ring_gather_sends(rank, ranks, i));
        step.received = mu_ring_chunk(count, ranks, mu_ring_gather_receives(rank, ranks, i));
        MU_TRY(run_step(&step, deadline_ns, ret_rank));
    }
    return MU_OK;
}
