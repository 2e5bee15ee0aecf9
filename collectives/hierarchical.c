/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/hierarchical.h"
#include "collectives/doubling_index.h"
#include "collectives/flow.h"
#include <math.h>

/*
 * Two hosts, ranks 0 1 2 and 3 4; sums so far:
 *
 *            0      1      2      3      4
 *   home     012    012    012    34     34
 *   abroad   01234  012    012    01234  34
 *   home     01234  01234  01234  01234  01234
 */

/* An operation of a part of the group; *ret_rank in ranks of the whole. */
static enum mu_status run_part(struct mu_group *group, struct mu_group *part,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    int rank = -1;
    enum mu_status status = mu_group_run(part, request, deadline_ns, &rank);
    mu_group_sign(group);
    if (status != MU_OK && rank >= 0) {
        int peer = mu_group_peer(part, rank);
        for (*ret_rank = 0; mu_group_peer(group, *ret_rank) != peer;)
            ++*ret_rank;
    }
    return status;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_request home = *request, last = *request;
    bool reduces = request->kind == MU_ALLREDUCE;
    home.wire = last.wire = request->dtype; /* only what goes abroad is narrowed */
    last.kind = reduces ? MU_BROADCAST : MU_BARRIER;
    last.root = 0;
    MU_TRY(run_part(group, group->home, &home, deadline_ns, ret_rank));
    if (group->abroad)
        MU_TRY(run_part(group, group->abroad, request, deadline_ns, ret_rank));
    return run_part(group, group->home, &last, deadline_ns, ret_rank);
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    if (!group->home) {
        *ret_why = "needs several hosts and several ranks on one";
        return INFINITY;
    }
    double count = request->kind == MU_ALLREDUCE ? (double)request->count : 0;
    double bytes = count * (double)mu_dtype_bytes(request->dtype);
    double wire = count * (double)mu_flow_wire_bytes(request);
    int rounds = mu_doubling_rounds(group->hosts);
    double few = rounds * (costs->message + wire * costs->byte);
    double many = 2 * (rounds * costs->message + (wire - wire / group->hosts) * costs->byte);
    /* At home each byte is added, and copied twice. */
    return fmin(few, many) + 3 * bytes * costs->add + 2 * costs->barrier;
}

const struct mu_algorithm mu_hierarchical = {
    .name = "hierarchical",
    .doc = "the ranks of each host, then the hosts, then the ranks of each host",
    .kinds = 1u << MU_ALLREDUCE | 1u << MU_BARRIER,
    .score = score,
    .run = run,
};
