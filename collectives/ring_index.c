/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring_index.h"

struct mu_span mu_ring_chunk(size_t count, int ranks, int chunk)
{
    size_t each = count / (size_t)ranks, longer = count % (size_t)ranks, c = (size_t)chunk;
    return (struct mu_span){
        .first = c * each + (c < longer ? c : longer),
        .count = each + (c < longer),
    };
}

static int modulo(int value, int ranks)
{
    return (value % ranks + ranks) % ranks;
}

struct mu_ring_plan mu_ring_plan(enum mu_request_kind kind, bool canonical, int ranks, int rank)
{
    struct mu_ring_plan plan = {.ranks = ranks, .first = rank, .steps = ranks - 1, .rounds = 1};
    if (kind == MU_ALLREDUCE) {
        plan.steps = 2 * (ranks - 1);
        plan.adding_steps = ranks - 1;
    } else if (kind == MU_REDUCE_SCATTER) {
        plan.steps = canonical && ranks > 1 ? ranks : ranks - 1;
        plan.adding_steps = ranks - 1;
        plan.first = canonical ? rank : modulo(rank - 1, ranks);
    }
    return plan;
}

int mu_ring_rounds(size_t count, size_t round)
{
    size_t rounds = round == 0 ? 1 : count / round + (count % round > 0);
    if (rounds > MU_RING_ROUNDS_MAX)
        return MU_RING_ROUNDS_MAX;
    return rounds == 0 ? 1 : (int)rounds;
}

int mu_ring_sends(const struct mu_ring_plan *plan, int step)
{
    return modulo(plan->first - step % plan->steps, plan->ranks);
}

int mu_ring_receives(const struct mu_ring_plan *plan, int step)
{
    return modulo(plan->first - step % plan->steps - 1, plan->ranks);
}

bool mu_ring_adds(const struct mu_ring_plan *plan, int step)
{
    return step % plan->steps < plan->adding_steps;
}

struct mu_span mu_ring_part(const struct mu_ring_plan *plan, struct mu_span chunk, int step)
{
    struct mu_span part = mu_ring_chunk(chunk.count, plan->rounds, step / plan->steps);
    part.first += chunk.first;
    return part;
}
