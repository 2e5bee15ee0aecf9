/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/pairwise.h"
#include "collectives/flow.h"
#include "collectives/pairwise_index.h"
#include <math.h>
#include <string.h>

/*
 * Three ranks; part r of `from` on rank s is sr:
 *
 *            rank 0             rank 1             rank 2
 *   step 1   01 -> 1, 20 here   12 -> 2, 01 here   20 -> 0, 12 here
 *   step 2   02 -> 2, 10 here   10 -> 0, 21 here   21 -> 1, 02 here
 *   end      00                 11                 22            their own are copied
 */
struct plan {
    const struct mu_request *request;
    int ranks, rank;
};

static size_t part_bytes(const struct mu_request *request)
{
    return request->count * mu_dtype_bytes(request->dtype);
}

static struct mu_leg sends(const void *owner, int step)
{
    const struct plan *plan = owner;
    int to = mu_pairwise_to(plan->ranks, plan->rank, step + 1);
    return (struct mu_leg){
        .rank = to,
        .count = plan->request->count,
        .from = (const char *)plan->request->from + (size_t)to * part_bytes(plan->request),
    };
}

static struct mu_leg receives(const void *owner, int step)
{
    const struct plan *plan = owner;
    int from = mu_pairwise_from(plan->ranks, plan->rank, step + 1);
    return (struct mu_leg){
        .rank = from,
        .count = plan->request->count,
        .to = (char *)plan->request->data + (size_t)from * part_bytes(plan->request),
    };
}

static void copy_own(const struct mu_group *group, const struct mu_request *request)
{
    size_t bytes = part_bytes(request), offset = (size_t)group->rank * bytes;
    memcpy((char *)request->data + offset, (const char *)request->from + offset, bytes);
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct plan plan = {request, group->count, group->rank};
    struct mu_flow flow = {
        .group = group,
        .request = request,
        .steps = group->count - 1,
        .sends = sends,
        .receives = receives,
        .plan = &plan,
    };
    MU_TRY(mu_flow_run(&flow, deadline_ns, ret_rank));
    copy_own(group, request);
    return MU_OK;
}

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    (void)ret_why;
    return (group->count - 1) *
           (group->costs.message + (double)part_bytes(request) * group->costs.byte);
}

const struct mu_algorithm mu_pairwise = {
    .name = "pairwise",
    .doc = "each rank exchanges with every other one in turn",
    .kinds = 1u << MU_ALLTOALL,
    .keeps_order = true,
    .score = score,
    .run = run,
};
