/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tree.h"
#include "collectives/flow.h"
#include "collectives/tree_index.h"
#include <math.h>

/*
 * Six ranks, root 0; the number is the round of a broadcast in which a rank gets the vector:
 *
 *   0 -+- 4 (1) --- 5 (2)
 *      +- 2 (2) --- 3 (3)
 *      +- 1 (3)
 *
 * The largest branch goes first. An all-reduce comes the other way, the smallest branch first.
 */
struct plan {
    const struct mu_request *request;
    int ranks, root;
    int node; /* of this rank; the root's is 0 */
    int children;
};

static int rank_of(const struct plan *plan, int node)
{
    return (node + plan->root) % plan->ranks;
}

static struct mu_leg leg_of(const struct plan *plan, int node)
{
    return (struct mu_leg){.rank = rank_of(plan, node),
        .count = plan->request->count,
        .from = plan->request->data,
        .to = plan->request->data,
        .use = MU_LEG_REPLACES};
}

static struct mu_leg nothing(const void *plan, int step)
{
    (void)plan;
    (void)step;
    return (struct mu_leg){0};
}

static struct mu_leg to_child(const void *owner, int step)
{
    const struct plan *plan = owner;
    return leg_of(plan, mu_tree_child(plan->node, plan->children - 1 - step));
}

static struct mu_leg from_child(const void *owner, int step)
{
    const struct plan *plan = owner;
    struct mu_leg leg = leg_of(plan, mu_tree_child(plan->node, step));
    leg.use = MU_LEG_AFTER;
    return leg;
}

/* Steps of tags: a rank is the same child of its parent for both. */
#define UP_STEP 0
#define DOWN_STEP 64

static uint32_t place_among_siblings(const struct plan *plan)
{
    uint32_t place = 0;
    while (!(plan->node & 1 << place))
        place++;
    return place;
}

static enum mu_status reduce(
    struct mu_group *group, const struct plan *plan, int64_t deadline_ns, int *ret_rank)
{
    struct mu_flow up = {.group = group,
        .request = plan->request,
        .step_first = UP_STEP,
        .steps = plan->children,
        .sends = nothing,
        .receives = from_child,
        .plan = plan};
    MU_TRY(mu_flow_run(&up, deadline_ns, ret_rank));
    if (plan->node == 0)
        return MU_OK;
    return mu_flow_exchange(group, plan->request, UP_STEP + place_among_siblings(plan),
        leg_of(plan, mu_tree_parent(plan->node)), (struct mu_leg){0}, deadline_ns, ret_rank);
}

/* Children count from the other end on the way down. */
static uint32_t down_step(const struct plan *plan)
{
    int parent = mu_tree_parent(plan->node);
    return DOWN_STEP + (uint32_t)mu_tree_children(plan->ranks, parent) - 1 -
           place_among_siblings(plan);
}

static enum mu_status broadcast(
    struct mu_group *group, const struct plan *plan, int64_t deadline_ns, int *ret_rank)
{
    struct mu_flow down = {.group = group,
        .request = plan->request,
        .step_first = DOWN_STEP,
        .steps = plan->children,
        .sends = to_child,
        .receives = nothing,
        .plan = plan};
    if (plan->node != 0)
        MU_TRY(mu_flow_exchange(group, plan->request, down_step(plan), (struct mu_leg){0},
            leg_of(plan, mu_tree_parent(plan->node)), deadline_ns, ret_rank));
    return mu_flow_run(&down, deadline_ns, ret_rank);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct plan plan = {.request = request, .ranks = group->count};
    plan.root = request->kind == MU_BROADCAST ? request->root : 0;
    plan.node = (group->rank - plan.root + group->count) % group->count;
    plan.children = mu_tree_children(group->count, plan.node);
    if (request->kind == MU_ALLREDUCE)
        MU_TRY(reduce(group, &plan, deadline_ns, ret_rank));
    return broadcast(group, &plan, deadline_ns, ret_rank);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    double bytes = (double)request->count * (double)mu_dtype_bytes(request->dtype);
    if (!mu_flow_is_whole(request, ret_why))
        return INFINITY;
    double down = costs->message + bytes * costs->byte, up = down + bytes * costs->add;
    return mu_tree_depth(group->count) * (request->kind == MU_ALLREDUCE ? up + down : down);
}

const struct mu_algorithm mu_tree = {
    .name = "tree",
    .doc = "a binomial tree, for short vectors (Thakur, Rabenseifner and Gropp 2005)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_BROADCAST,
    .score = score,
    .run = run,
};
