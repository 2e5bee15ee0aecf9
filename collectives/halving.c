/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/halving.h"
#include "collectives/doubling.h"
#include "collectives/doubling_index.h"
#include "collectives/flow.h"
#include "collectives/halving_index.h"
#include <math.h>

/* Steps of tags: the scattering half takes at most one a rank, the gathering half comes after. */
static uint32_t gather_step(const struct mu_group *group)
{
    return (uint32_t)group->count;
}

static struct mu_leg leg_of(
    const struct mu_request *request, int ranks, int rank, struct mu_halving_parts parts)
{
    struct mu_span begin = mu_request_part(request, ranks, parts.first);
    struct mu_span end = mu_request_part(request, ranks, parts.first + parts.count - 1);
    char *at = (char *)request->data + begin.first * mu_dtype_bytes(request->dtype);
    return (struct mu_leg){
        .rank = rank, .count = end.first + end.count - begin.first, .from = at, .to = at};
}

/*
 * Four ranks, parts a b c d; rank 1:
 *
 *   distance 2   c d -> 3     a b of 3 added
 *   distance 1   a   -> 0       b of 0 added     b is whole; gathered by doubling
 */
static enum mu_status halve(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    uint32_t number = 0;
    for (int distance = group->count / 2; distance > 0; distance /= 2) {
        struct mu_halving_step step = mu_halving_step(group->rank, distance);
        struct mu_leg sent = leg_of(request, group->count, step.peer, step.sent);
        struct mu_leg received = leg_of(request, group->count, step.peer, step.kept);
        received.use = step.peer < group->rank ? MU_LEG_BEFORE : MU_LEG_AFTER;
        MU_TRY(mu_flow_exchange(group, request, number++, sent, received, deadline_ns, ret_rank));
    }
    return MU_OK;
}

/*
 * The canonical order, four ranks; rank 1: its b comes from 2, then from 3, then from 0, and is
 * added in this order; meanwhile a goes to 0, d to 3, c to 2.
 */
struct turns {
    const struct mu_request *request;
    int ranks, rank;
};

static struct mu_leg turn_sends(const void *plan, int step)
{
    const struct turns *turns = plan;
    int to = (turns->rank - step - 1 + turns->ranks) % turns->ranks;
    struct mu_leg leg = leg_of(turns->request, turns->ranks, to, (struct mu_halving_parts){to, 1});
    leg.to = NULL;
    return leg;
}

static struct mu_leg turn_receives(const void *plan, int step)
{
    const struct turns *turns = plan;
    int from = (turns->rank + step + 1) % turns->ranks;
    struct mu_leg leg =
        leg_of(turns->request, turns->ranks, from, (struct mu_halving_parts){turns->rank, 1});
    leg.use = MU_LEG_AFTER;
    return leg;
}

static enum mu_status take_turns(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct turns turns = {request, group->count, group->rank};
    struct mu_flow flow = {.group = group,
        .request = request,
        .steps = group->count - 1,
        .sends = turn_sends,
        .receives = turn_receives,
        .plan = &turns};
    return mu_flow_run(&flow, deadline_ns, ret_rank);
}

static bool takes_turns(const struct mu_group *group)
{
    return group->deterministic || !mu_halving_fits(group->count);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    if (takes_turns(group))
        MU_TRY(take_turns(group, request, deadline_ns, ret_rank));
    else
        MU_TRY(halve(group, request, deadline_ns, ret_rank));
    return request->kind == MU_ALLREDUCE
               ? mu_doubling_gather(group, request, gather_step(group), deadline_ns, ret_rank)
               : MU_OK;
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    double bytes = (double)request->count * (double)mu_dtype_bytes(request->dtype);
    int rounds = mu_doubling_rounds(group->count);
    if (!mu_flow_is_whole(request, ret_why))
        return INFINITY;
    double moved = bytes - bytes / group->count;
    double scatter = (takes_turns(group) ? group->count - 1 : rounds) * costs->message +
                     moved * (costs->byte + costs->add);
    double gather = rounds * costs->message + moved * costs->byte;
    return request->kind == MU_ALLREDUCE ? scatter + gather : scatter;
}

const struct mu_algorithm mu_halving = {
    .name = "halving",
    .doc = "recursive halving, then doubling (Rabenseifner 2004)",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_REDUCE_SCATTER,
    .keeps_order = true,
    .score = score,
    .run = run,
};
