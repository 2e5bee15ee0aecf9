/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/group_agree.h"
#include "collectives/doubling.h"
#include "runtime/device/reduce.h"
#include <string.h>

static size_t vector_bytes(const struct mu_group *group, const struct mu_request *request)
{
    size_t vectors = request->kind == MU_ALLTOALL ? (size_t)group->count : 1;
    return vectors * request->count * mu_dtype_bytes(request->dtype);
}

static struct mu_span own_part(const struct mu_group *group, const struct mu_request *request)
{
    return mu_request_part(request, group->count, group->rank);
}

/* ---- a mean ---- */

static bool is_mean(const struct mu_request *request)
{
    return mu_request_reduces(request->kind) && request->reduction == MU_MEAN;
}

/* The part of a summed vector that this rank has all of, by the number of ranks. */
static void divide(const struct mu_group *group, const struct mu_request *request)
{
    struct mu_span part = {0, request->count};
    if (request->kind == MU_REDUCE_SCATTER)
        part = own_part(group, request);
    mu_reduce_divide(request->dtype,
        (char *)request->data + part.first * mu_dtype_bytes(request->dtype), group->count,
        part.count);
}

static enum mu_status run_in_place(struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_request summed = *request;
    if (!is_mean(request))
        return algorithm->run(group, request, deadline_ns, ret_rank);
    summed.reduction = MU_SUM;
    MU_TRY(algorithm->run(group, &summed, deadline_ns, ret_rank));
    divide(group, &summed);
    return MU_OK;
}

/* ---- beside the vector ---- */

static void copy_part(
    const struct mu_request *request, char *to, const char *from, struct mu_span part)
{
    size_t element = mu_dtype_bytes(request->dtype), first = part.first * element;
    memcpy(to + first, from + first, part.count * element);
}

/* What a rank gives, and what it gets. */
static void copy_in(const struct mu_group *group, const struct mu_request *request, char *aside)
{
    if (request->kind == MU_ALLGATHER)
        copy_part(request, aside, request->data, own_part(group, request));
    else if (request->kind != MU_ALLTOALL)
        memcpy(aside, request->data, vector_bytes(group, request));
}

static void copy_out(
    const struct mu_group *group, const struct mu_request *request, const char *aside)
{
    if (request->kind == MU_REDUCE_SCATTER)
        copy_part(request, request->data, aside, own_part(group, request));
    else
        memcpy(request->data, aside, vector_bytes(group, request));
}

static enum mu_status run_aside(struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    struct mu_request beside = *request;
    beside.data = group->aside;
    copy_in(group, request, group->aside);
    MU_TRY(run_in_place(group, algorithm, &beside, deadline_ns, ret_rank));
    copy_out(group, request, group->aside);
    return MU_OK;
}

/* ---- which of them ---- */

/* Two ranks that both receive have compared by then, but who only sends has not. */
bool mu_group_meets_first(const struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request)
{
    if (request->kind == MU_BARRIER || mu_group_is_step(group))
        return false;
    bool hears = mu_request_hears_all(request, group->count);
    bool in_place = algorithm->holds_on || vector_bytes(group, request) > MU_ASIDE_BYTES;
    return !hears || (group->count > 2 && in_place);
}

enum mu_status mu_group_run_agreed(struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    /* The ranks of a step have agreed on the operation; in shared memory they meet anyway. */
    if (algorithm->any_thread || mu_group_is_step(group) || request->kind == MU_BARRIER)
        return run_in_place(group, algorithm, request, deadline_ns, ret_rank);
    /* Without elements there may be no messages: then ranks that have some would wait for ours. */
    if (request->count == 0)
        return mu_doubling_meet(group, deadline_ns, ret_rank);
    if (mu_group_meets_first(group, algorithm, request))
        MU_TRY(mu_doubling_meet(group, deadline_ns, ret_rank));
    else if (group->count > 2)
        return run_aside(group, algorithm, request, deadline_ns, ret_rank);
    return run_in_place(group, algorithm, request, deadline_ns, ret_rank);
}
