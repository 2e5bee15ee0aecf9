/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring.h"
#include "collectives/flow.h"
#include "collectives/ring_index.h"
#include <math.h>

/*
 * Three ranks, chunks a b c; + is the sum so far. All-reduce:
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
 * A reduce-scatter is the first half of it, begun one chunk earlier so that part r ends at rank r;
 * an all-gather the second; a broadcast is an all-gather to which only the root brings a part.
 */
struct plan {
    const struct mu_request *request;
    struct mu_ring_plan ring;
    int left, right;
};

static struct mu_span part_of(const struct mu_request *request, int ranks, int part)
{
    if (request->kind == MU_BROADCAST)
        return (struct mu_span){0, part == request->root ? request->count : 0};
    return mu_request_part(request, ranks, part);
}

static struct mu_leg leg_of(const struct plan *plan, int rank, int part, int step)
{
    struct mu_span span =
        mu_ring_part(&plan->ring, part_of(plan->request, plan->ring.ranks, part), step);
    size_t first_bytes = span.first * mu_dtype_bytes(plan->request->dtype);
    return (struct mu_leg){
        .rank = rank,
        .count = span.count,
        .to = (char *)plan->request->data + first_bytes,
        .from = (char *)plan->request->data + first_bytes,
    };
}

static struct mu_leg sends(const void *owner, int step)
{
    const struct plan *plan = owner;
    struct mu_leg leg = leg_of(plan, plan->right, mu_ring_sends(&plan->ring, step), step);
    if (step % plan->ring.steps != plan->ring.adding_steps)
        leg.to = NULL; /* only a whole sum is rounded at home too */
    return leg;
}

static struct mu_leg receives(const void *owner, int step)
{
    const struct plan *plan = owner;
    struct mu_leg leg = leg_of(plan, plan->left, mu_ring_receives(&plan->ring, step), step);
    leg.use = mu_ring_adds(&plan->ring, step) ? MU_LEG_BEFORE : MU_LEG_REPLACES;
    return leg;
}

/* ---- rounds ---- */

/* Of each chunk, in a round: what one rank works on fits into a second-level cache, and what all
 * ranks of a host do into the one that they share. */
#define ROUND_BYTES ((size_t)512 << 10)
#define ONE_ROUND_BYTES (4 * ROUND_BYTES) /* so short a chunk is in a cache anyway */
#define ROUND_MESSAGES 32 /* a step of a round is no shorter: it hides their delay */

static struct mu_ring_plan plan_of(
    const struct mu_group *group, const struct mu_request *request, int rank)
{
    struct mu_ring_plan ring =
        mu_ring_plan(request->kind, group->deterministic, group->count, rank);
    const struct mu_costs *costs = &group->costs;
    size_t bytes = request->count * mu_dtype_bytes(request->dtype);
    size_t chunk = bytes / (size_t)group->count, round = ROUND_BYTES;
    if (costs->byte > 0)
        round = (size_t)fmax((double)round, ROUND_MESSAGES * costs->message / costs->byte);
    if (request->kind == MU_ALLREDUCE && chunk > ONE_ROUND_BYTES)
        ring.rounds = mu_ring_rounds(chunk, round);
    return ring;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct plan plan = {
        .request = request,
        .ring = plan_of(group, request, group->rank),
        .left = (group->rank + group->count - 1) % group->count,
        .right = (group->rank + 1) % group->count,
    };
    struct mu_flow flow = {
        .group = group,
        .request = request,
        .steps = plan.ring.steps * plan.ring.rounds,
        .relays = plan.ring.steps,
        .sends = sends,
        .receives = receives,
        .plan = &plan,
    };
    return mu_flow_run(&flow, deadline_ns, ret_rank);
}

/* Seconds of a step that moves `bytes`: of the slowest link, or of the delay of one segment. */
static double step_of(const struct mu_costs *costs, double bytes, double segment, double byte)
{
    return fmax(bytes * byte, costs->message + segment * byte);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    (void)ret_why;
    const struct mu_costs *costs = &group->costs;
    double bytes = (double)request->count * (double)mu_flow_wire_bytes(request);
    struct mu_ring_plan plan = plan_of(group, request, 0);
    double leg = request->kind == MU_BROADCAST ? bytes : bytes / group->count / plan.rounds;
    double segment = fmin(leg, (double)mu_flow_segment_bytes(costs, (size_t)leg));
    double added = costs->byte + costs->add;
    double passing = costs->message + segment * costs->byte;
    if (request->kind == MU_BROADCAST)
        return bytes * costs->byte + costs->message + (plan.steps - 1) * passing;
    double round = plan.adding_steps * step_of(costs, leg, segment, added) +
                   (plan.steps - plan.adding_steps) * step_of(costs, leg, segment, costs->byte);
    return costs->message + plan.rounds * round;
}

const struct mu_algorithm mu_ring = {
    .name = "ring",
    .doc = "once or twice around a ring, in segments (Patarasuk and Yuan 2009)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_REDUCE_SCATTER | 1u << MU_ALLGATHER | 1u << MU_BROADCAST,
    .keeps_order = true,
    .score = score,
    .run = run,
};
