/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group.h"

/* The calls of include/muster/collectives.h that are one request. */

int mu_group_rank(const struct mu_group *group)
{
    return group->rank;
}

int mu_group_size(const struct mu_group *group)
{
    return group->count;
}

static enum mu_status call(struct mu_group *group, struct mu_request request)
{
    int rank;
    bool adds = request.reduction == MU_SUM || request.reduction == MU_MEAN;
    bool narrows = request.kind == MU_ALLREDUCE && request.dtype == MU_FLOAT32 && adds;
    request.wire = narrows ? group->wire : request.dtype;
    group->entered_ns = mu_now(group->world);
    enum mu_status status =
        mu_group_run(group, &request, mu_deadline(group->entered_ns, group->timeout_ns), &rank);
    group->entered_ns = 0;
    return status;
}

static size_t sum_of(const struct mu_group *group, const size_t counts[])
{
    size_t sum = 0;
    for (int rank = 0; rank < group->count; rank++)
        sum += counts[rank];
    return sum;
}

enum mu_status mu_group_allreduce(struct mu_group *group, void *data, size_t count,
    enum mu_dtype dtype, enum mu_reduction reduction)
{
    return call(group, (struct mu_request){.kind = MU_ALLREDUCE,
                           .dtype = dtype,
                           .reduction = reduction,
                           .data = data,
                           .count = count});
}

enum mu_status mu_group_reduce_scatter(struct mu_group *group, void *data, const size_t counts[],
    enum mu_dtype dtype, enum mu_reduction reduction)
{
    return call(group, (struct mu_request){.kind = MU_REDUCE_SCATTER,
                           .dtype = dtype,
                           .reduction = reduction,
                           .data = data,
                           .count = sum_of(group, counts),
                           .counts = counts});
}

enum mu_status mu_group_allgather(
    struct mu_group *group, void *data, const size_t counts[], enum mu_dtype dtype)
{
    return call(group, (struct mu_request){.kind = MU_ALLGATHER,
                           .dtype = dtype,
                           .data = data,
                           .count = sum_of(group, counts),
                           .counts = counts});
}

enum mu_status mu_group_broadcast(
    struct mu_group *group, void *data, size_t count, enum mu_dtype dtype, int root)
{
    return call(group,
        (struct mu_request){
            .kind = MU_BROADCAST, .dtype = dtype, .data = data, .count = count, .root = root});
}

enum mu_status mu_group_alltoall(
    struct mu_group *group, const void *from, void *to, size_t count, enum mu_dtype dtype)
{
    return call(
        group, (struct mu_request){
                   .kind = MU_ALLTOALL, .dtype = dtype, .data = to, .from = from, .count = count});
}

enum mu_status mu_group_barrier(struct mu_group *group)
{
    return call(group, (struct mu_request){.kind = MU_BARRIER});
}
