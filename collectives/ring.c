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

static struct mu_leg leg_of(const struct plan *plan, int rank, int part)
{
    struct mu_span span = part_of(plan->request, plan->ring.ranks, part);
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
    struct mu_leg leg = leg_of(plan, plan->right, mu_ring_sends(&plan->ring, step));
    if (step != plan->ring.adding_steps)
        leg.to = NULL; /* only a whole sum is rounded at home too */
    return leg;
}

static struct mu_leg receives(const void *owner, int step)
{
    const struct plan *plan = owner;
    struct mu_leg leg = leg_of(plan, plan->left, mu_ring_receives(&plan->ring, step));
    leg.use = step < plan->ring.adding_steps ? MU_LEG_BEFORE : MU_LEG_REPLACES;
    return leg;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct plan plan = {
        .request = request,
        .ring = mu_ring_plan(request->kind, group->deterministic, group->count, group->rank),
        .left = (group->rank + group->count - 1) % group->count,
        .right = (group->rank + 1) % group->count,
    };
    struct mu_flow flow = {
        .group = group,
        .request = request,
        .steps = plan.ring.steps,
        .relays = true,
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
    struct mu_ring_plan plan = mu_ring_plan(request->kind, group->deterministic, group->count, 0);
    double chunk = request->kind == MU_BROADCAST ? bytes : bytes / group->count;
    double segment = fmin(chunk, (double)mu_flow_segment_bytes(costs, (size_t)chunk));
    double added = costs->byte + costs->add;
    double passing = costs->message + segment * costs->byte;
    if (request->kind == MU_BROADCAST)
        return bytes * costs->byte + costs->message + (plan.steps - 1) * passing;
    return costs->message + plan.adding_steps * step_of(costs, chunk, segment, added) +
           (plan.steps - plan.adding_steps) * step_of(costs, chunk, segment, costs->byte);
}

const struct mu_algorithm mu_ring = {
    .name = "ring",
    .doc = "once or twice around a ring, in segments (Patarasuk and Yuan 2009)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_REDUCE_SCATTER | 1u << MU_ALLGATHER | 1u << MU_BROADCAST,
    .keeps_order = true,
    .score = score,
    .run = run,
};
