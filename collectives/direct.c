/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/direct.h"
#include <math.h>

/*
 * Ranks that share memory read what they need straight from each other. An all-reduce of two ranks:
 *
 *   in place                        staged, short              staged, long: as in place, in lanes
 *     a  a0 a1     b  b0 b1           put a, b into slots        put a1, b0 into lanes
 *     meet                            meet                       meet
 *     rank 0: a0, b0 = a0 + b0        a = a + slot of b          a0, lane = a0 + b0; next a1 ...
 *     rank 1: a1, b1 = a1 + b1        b = a + b                  meet
 *     meet                                                       a1 = lane; ...
 *
 * Vectors in arenas go in place, others staged; where some are and some are not, staged.
 */

static bool is_everywhere(const struct mu_direct *direct, bool in_place)
{
    for (int rank = 0; rank < direct->count; rank++)
        if ((mu_shared_meet_shown(direct->shared, rank)->where != 0) != in_place)
            return false;
    return true;
}

static enum mu_status meet(const struct mu_direct *direct)
{
    return mu_shared_meet(direct->group, direct->deadline_ns, direct->ret_rank);
}

static enum mu_status run_staged(
    const struct mu_direct *direct, const struct mu_direct_steps *staged, bool has_put)
{
    size_t steps = staged->count(direct);
    for (size_t step = 0; step < steps; step++) {
        if (step > 0 || !has_put) {
            staged->put(direct, step);
            MU_TRY(meet(direct));
        }
        staged->take(direct, step);
    }
    return MU_OK;
}

static enum mu_status run_entered(const struct mu_direct *direct)
{
    const struct mu_direct_steps *staged = mu_direct_staged(direct);
    uint64_t where = mu_direct_in_place_where(direct);
    if (!where)
        staged->put(direct, 0);
    MU_TRY(mu_shared_meet_enter(direct->group, where, direct->deadline_ns, direct->ret_rank));
    if (is_everywhere(direct, false))
        return run_staged(direct, staged, true);
    if (!is_everywhere(direct, true))
        return run_staged(direct, staged, false);
    mu_direct_in_place(direct);
    return meet(direct);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_direct direct = {
        .group = group,
        .shared = group->shared,
        .request = request,
        .reducer = mu_reducer(request->dtype, request->reduction),
        .element = mu_dtype_bytes(request->dtype),
        .rank = group->rank,
        .count = group->count,
        .deadline_ns = deadline_ns,
        .ret_rank = ret_rank,
    };
    mu_shared_note(group->shared, &group->signature, mu_group_entered(group));
    enum mu_status status = run_entered(&direct);
    mu_shared_note(group->shared, NULL, 0);
    return status;
}

/*
 * By what a byte costs in an arena, wherever this rank's vector lies: ranks may differ in that, and
 * may not in their choice. Staged is still the least that shared memory can do.
 */
static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    if (!group->shared) {
        *ret_why = "needs shared memory with all ranks";
        return INFINITY;
    }
    if (group->deterministic && request->wire != request->dtype) {
        *ret_why = "does not narrow in shared memory";
        return INFINITY;
    }
    const struct mu_direct direct = {
        .request = request, .element = mu_dtype_bytes(request->dtype), .count = group->count};
    bool once = request->kind == MU_BARRIER || mu_direct_is_short(&direct);
    return (once ? 1 : 2) * group->costs.barrier +
           (double)mu_direct_bytes(&direct) * group->costs.direct;
}

const struct mu_algorithm mu_direct = {
    .name = "direct",
    .doc = "each rank reduces its part of all vectors, in shared memory",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_REDUCE_SCATTER | 1u << MU_ALLGATHER |
             1u << MU_BROADCAST | 1u << MU_ALLTOALL | 1u << MU_BARRIER,
    .keeps_order = true,
    .any_thread = true,
    .score = score,
    .run = run,
};
