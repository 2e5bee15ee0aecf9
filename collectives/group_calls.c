/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared.h"
#include "runtime/base/text.h"
#include <stdlib.h>

/* The calls of include/muster/collectives.h that are one request, and what needs one to agree. */
#define PAGE_BYTES 4096

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

/* ---- memory ---- */

static void *alloc_own(size_t bytes)
{
    size_t whole = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (whole < bytes)
        return NULL;
    void *memory = aligned_alloc(PAGE_BYTES, whole ? whole : PAGE_BYTES);
    if (memory)
        memset(memory, 0, whole);
    return memory;
}

/* What is forced is for what the caller asks for, not for this. */
static enum mu_status call_unforced(struct mu_group *group, struct mu_request request)
{
    const struct mu_algorithm *forced = group->forced;
    group->forced = NULL;
    enum mu_status status = call(group, request);
    group->forced = forced;
    return status;
}

/* The ranks meet: that all ask for as much shows in what they sign. */
static enum mu_status agree_on_bytes(struct mu_group *group, size_t bytes)
{
    return call_unforced(
        group, (struct mu_request){.kind = MU_BARRIER, .dtype = MU_UINT8, .count = bytes});
}

/* Each rank's own, or nobody's. */
static void *alloc_apart(struct mu_group *group, size_t bytes)
{
    void *memory = alloc_own(bytes);
    uint8_t all_have = memory != NULL;
    const struct mu_request request = {.kind = MU_ALLREDUCE,
        .dtype = MU_UINT8,
        .reduction = MU_MIN,
        .data = &all_have,
        .count = 1};
    if (call_unforced(group, request) == MU_OK && all_have)
        return memory;
    free(memory);
    return NULL;
}

void *mu_group_alloc(struct mu_group *group, size_t bytes)
{
    if (agree_on_bytes(group, bytes) != MU_OK)
        return NULL;
    void *memory = NULL;
    if (group->shared)
        memory =
            mu_shared_alloc(group, bytes, mu_deadline(mu_now(group->world), group->timeout_ns));
    if (!memory && !group->failed)
        memory = alloc_apart(group, bytes);
    if (!memory && !group->failed)
        mu_format(group->error, sizeof(group->error), "no memory for %zu bytes", bytes);
    return memory;
}

void mu_group_free(struct mu_group *group, void *memory)
{
    if (!memory || !group->shared || !mu_shared_free(group, memory))
        free(memory);
}
