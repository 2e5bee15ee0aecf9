/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/mpi_collectives.h"
#include "collectives/group.h"
#include "config.h"
#include <limits.h>
#include <math.h>

#if HAVE_OPENMPI

#include "collectives/mpi_inside.h"

/*
 *   1  a byte to the right, a byte from the left: with it goes what this rank is about to do
 *   2  MPI_Iallreduce, looked at again and again until it is done or the deadline passes
 *
 * Where the second fails MPI may go on with it, for it cannot be called back: the vector is MPI's
 * until the process ends.
 */
static MPI_Datatype type_of(const struct mu_mpi_library *library, enum mu_dtype dtype)
{
    switch (dtype) {
    case MU_FLOAT32:
        return library->float32;
    case MU_FLOAT64:
        return library->float64;
    case MU_INT32:
        return library->int32;
    case MU_INT64:
        return library->int64;
    case MU_UINT8:
        return library->uint8;
    default:
        return NULL;
    }
}

static const char *why_not(const struct mu_group *group, const struct mu_request *request)
{
    const struct mu_mpi_inside *inside = mu_mpi_inside(group->transport);
    if (!inside)
        return "needs the transport mpi";
    if (group->member)
        return "adds over all ranks only";
    if (!type_of(inside->library, request->dtype) || request->wire != request->dtype)
        return "has no half types";
    if (request->reduction != MU_SUM && request->reduction != MU_MEAN &&
        (request->dtype == MU_FLOAT32 || request->dtype == MU_FLOAT64))
        return "may drop a NaN";
    return request->count > INT_MAX ? "counts with an int" : NULL;
}

/* As if by halving, but what is long is not cut: its bytes come first and are added then. */
static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    const struct mu_costs *costs = &group->costs;
    *ret_why = why_not(group, request);
    if (*ret_why)
        return INFINITY;
    double bytes = (double)request->count * (double)mu_dtype_bytes(request->dtype);
    double share = (double)(group->count - 1) / group->count;
    return ceil(log2(group->count)) * costs->message +
           2 * share * bytes * (2 * costs->byte + costs->add);
}

static enum mu_status compare(struct mu_group *group, int64_t deadline_ns, int *ret_rank)
{
    int right = (group->rank + 1) % group->count;
    int left = (group->rank + group->count - 1) % group->count;
    char *memory = group->scratch;
    uint64_t tag = mu_group_tag(group, 0, 0);
    mu_group_receive(group, &group->receive[0], left, tag, memory + 1, 1);
    mu_group_send(group, &group->send[0], right, tag, memory, 1);
    MU_TRY(mu_group_wait(group, &group->receive[0], deadline_ns, ret_rank));
    return mu_group_wait(group, &group->send[0], deadline_ns, ret_rank);
}

static MPI_Op operation_of(const struct mu_mpi_library *library, enum mu_reduction reduction)
{
    switch (reduction) {
    case MU_MIN:
        return library->min;
    case MU_MAX:
        return library->max;
    default:
        return library->sum;
    }
}

static enum mu_status reduce(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns)
{
    const struct mu_mpi_inside *inside = mu_mpi_inside(group->transport);
    const struct mu_mpi_library *library = inside->library;
    MPI_Request pending;
    MPI_Status ended;
    int done = 0;
    if (library->iallreduce(MPI_IN_PLACE, request->data, (int)request->count,
            type_of(library, request->dtype), operation_of(library, request->reduction),
            inside->comm, &pending) != MPI_SUCCESS)
        return MU_CLOSED;
    for (int round = 0; !done; round++) {
        if (library->test(&pending, &done, &ended) != MPI_SUCCESS)
            return MU_CLOSED;
        if (!done)
            MU_TRY(mu_mpi_look_around(group->transport, round, deadline_ns));
    }
    return MU_OK;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    enum mu_status status = compare(group, deadline_ns, ret_rank);
    if (status == MU_OK)
        status = reduce(group, request, deadline_ns);
    if (status != MU_OK)
        mu_mpi_set_failed(group->transport);
    return status;
}

#else

static double score(
    const struct mu_group *group, const struct mu_request *request, const char **ret_why)
{
    *ret_why = "needs a build with Open MPI";
    return INFINITY;
}

static enum mu_status run(
    struct mu_group *group, const struct mu_request *request, int64_t deadline_ns, int *ret_rank)
{
    return MU_BUG; /* never chosen */
}

#endif

const struct mu_algorithm mu_mpi_algorithm = {
    .name = "mpi",
    .doc = "MPI_Allreduce, as Open MPI does it",
    .kinds = 1u << MU_ALLREDUCE,
    .holds_on = true,
    .score = score,
    .run = run,
};
