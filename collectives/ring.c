/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring.h"
#include "collectives/ring_index.h"
#include "runtime/device/kernels.h"
#include <math.h>

#define MU_SEGMENT_COUNT (MU_SEGMENT_BYTES / sizeof(float))

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
#define IN_FLIGHT 2

/* One step of the ring: a chunk goes right while another comes from the left. */
struct step {
    struct mu_group *group;
    float *data;
    struct mu_span sent, received;
    bool adds; /* what comes is added; otherwise it replaces */
    uint32_t number;
};

static float *landing(struct step *step, struct mu_span segment, size_t index)
{
    return step->adds ? (float *)step->group->scratch + index % IN_FLIGHT * MU_SEGMENT_COUNT
                      : step->data + segment.first;
}

static void post_receive(struct step *step, size_t index)
{
    struct mu_group *group = step->group;
    if (index >= mu_ring_segments(step->received.count, MU_SEGMENT_COUNT))
        return;
    struct mu_span segment = mu_ring_segment(step->received, MU_SEGMENT_COUNT, index);
    int left = (group->rank + group->count - 1) % group->count;
    mu_group_receive(group, &group->receive[index % IN_FLIGHT], left,
        mu_group_tag(group, step->number, index), landing(step, segment, index),
        segment.count * sizeof(float));
}

static void post_send(struct step *step, size_t index)
{
    struct mu_group *group = step->group;
    if (index >= mu_ring_segments(step->sent.count, MU_SEGMENT_COUNT))
        return;
    struct mu_span segment = mu_ring_segment(step->sent, MU_SEGMENT_COUNT, index);
    int right = (group->rank + 1) % group->count;
    mu_group_send(group, &group->send[index % IN_FLIGHT], right,
        mu_group_tag(group, step->number, index), step->data + segment.first,
        segment.count * sizeof(float));
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
            MU_TRY(mu_group_wait(
                step->group, &step->group->receive[i % IN_FLIGHT], deadline_ns, ret_rank));
            struct mu_span segment = mu_ring_segment(step->received, MU_SEGMENT_COUNT, i);
            if (step->adds)
                mu_kernels()->add(
                    step->data + segment.first, landing(step, segment, i), segment.count);
            post_receive(step, i + IN_FLIGHT);
        }
        if (i < sends) {
            MU_TRY(mu_group_wait(
                step->group, &step->group->send[i % IN_FLIGHT], deadline_ns, ret_rank));
            post_send(step, i + IN_FLIGHT);
        }
    }
    return MU_OK;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    float *data = request->data;
    size_t count = request->count;
    int ranks = group->count, rank = group->rank;
    struct step step = {.group = group, .data = data};

    step.adds = true;
    for (int i = 0; i < ranks - 1; i++) {
        step.number = (uint32_t)i;
        step.sent = mu_ring_chunk(count, ranks, mu_ring_reduce_sends(rank, ranks, i));
        step.received = mu_ring_chunk(count, ranks, mu_ring_reduce_receives(rank, ranks, i));
        MU_TRY(run_step(&step, deadline_ns, ret_rank));
    }
    step.adds = false;
    for (int i = 0; i < ranks - 1; i++) {
        step.number = (uint32_t)(ranks - 1 + i);
        step.sent = mu_ring_chunk(count, ranks, mu_ring_gather_sends(rank, ranks, i));
        step.received = mu_ring_chunk(count, ranks, mu_ring_gather_receives(rank, ranks, i));
        MU_TRY(run_step(&step, deadline_ns, ret_rank));
    }
    return MU_OK;
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    (void)ret_why;
    double steps = 2.0 * (group->count - 1), bytes = 4.0 * (double)request->count;
    return steps * (group->costs.message + bytes / group->count * group->costs.byte);
}

const struct mu_algorithm mu_ring = {
    .name = "ring",
    .doc = "reduce-scatter and all-gather around a ring (Patarasuk and Yuan 2009)",
    .kinds = 1u << MU_ALLREDUCE,
    .keeps_order = true,
    .score = score,
    .run = run,
};
