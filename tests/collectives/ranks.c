/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"
#include "runtime/base/random.h"
#include "runtime/device/reduce.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <stdatomic.h>

/* ---- values ---- */

double mu_test_small(int rank, size_t i)
{
    return (double)(mu_random_mix((uint64_t)rank + 3, i) % 11);
}

float mu_test_rough(int rank, size_t i)
{
    return (float)((double)(mu_random_mix((uint64_t)rank + 7, i) >> 40) / 1000.0 - 8000.0);
}

static double rough(int rank, size_t i)
{
    return mu_test_rough(rank, i);
}

void mu_test_store(enum mu_dtype dtype, void *data, size_t i, double value)
{
    float single = (float)value;
    if (dtype == MU_FLOAT32)
        ((float *)data)[i] = single;
    else if (dtype == MU_FLOAT64)
        ((double *)data)[i] = value;
    else if (dtype == MU_INT32)
        ((int32_t *)data)[i] = (int32_t)value;
    else if (dtype == MU_INT64)
        ((int64_t *)data)[i] = (int64_t)value;
    else if (dtype == MU_UINT8)
        ((uint8_t *)data)[i] = (uint8_t)value;
    else
        mu_reduce_narrow(dtype, (uint16_t *)data + i, &single, 1);
}

double mu_test_load(enum mu_dtype dtype, const void *data, size_t i)
{
    float single;
    if (dtype == MU_FLOAT32)
        return (double)((const float *)data)[i];
    if (dtype == MU_FLOAT64)
        return ((const double *)data)[i];
    if (dtype == MU_INT32)
        return ((const int32_t *)data)[i];
    if (dtype == MU_INT64)
        return (double)((const int64_t *)data)[i];
    if (dtype == MU_UINT8)
        return ((const uint8_t *)data)[i];
    mu_reduce_widen(dtype, &single, (const uint16_t *)data + i, 1);
    return (double)single;
}

/* ---- running ---- */

struct thread {
    const struct mu_test_operation *operation;
    struct mu_world *world;
    struct mu_inproc_hub *hub;
    struct mu_test_rank *rank;
    int number;
    atomic_int *entered; /* how often by all ranks together */
};

size_t mu_test_elements(const struct mu_test_operation *operation)
{
    size_t count = operation->request.count;
    return operation->request.kind == MU_ALLTOALL ? count * (size_t)operation->ranks : count;
}

#define HOME_ID 1
#define ABROAD_ID 2

static enum mu_status make_part(
    struct mu_group *group, const int rank[], int count, uint32_t id, struct mu_group **ret_part)
{
    *ret_part = calloc(1, sizeof(**ret_part));
    return *ret_part ? mu_group_init_part(*ret_part, group, rank, count, id) : MU_NO_MEMORY;
}

enum mu_status mu_test_make_hosts(struct mu_group *group, int host_ranks)
{
    if (host_ranks == 0 || host_ranks >= group->count)
        return MU_OK;
    int rank[MU_TEST_RANKS_MAX], count = 0, first = group->rank / host_ranks * host_ranks;
    for (int r = first; r < group->count && r < first + host_ranks; r++)
        rank[count++] = r;
    MU_TRY(make_part(group, rank, count, HOME_ID, &group->home));
    group->hosts = 0;
    for (int r = 0; r < group->count; r += host_ranks)
        rank[group->hosts++] = r;
    return first == group->rank ? make_part(group, rank, group->hosts, ABROAD_ID, &group->abroad)
                                : MU_OK;
}

static enum mu_status prepare(struct mu_group *group, const struct mu_test_operation *operation)
{
    group->deterministic = operation->deterministic;
    return mu_test_make_hosts(group, operation->host_ranks);
}

static void run_rounds(struct thread *thread, struct mu_group *group,
    const struct mu_request *request, int64_t deadline_ns)
{
    const struct mu_test_operation *operation = thread->operation;
    struct mu_test_rank *rank = thread->rank;
    int rounds = operation->rounds ? operation->rounds : 1;
    for (int i = 0; i < rounds && rank->status == MU_OK; i++) {
        group->signature.sequence++;
        atomic_fetch_add(thread->entered, 1);
        rank->status = operation->algorithm->run(group, request, deadline_ns, &rank->culprit);
        rank->early += atomic_load(thread->entered) < (i + 1) * operation->ranks;
    }
}

static void run_rank(void *argument)
{
    struct thread *thread = argument;
    const struct mu_test_operation *operation = thread->operation;
    struct mu_test_rank *rank = thread->rank;
    struct mu_request request = operation->request;
    struct mu_transport *transport;
    struct mu_group group = {0};
    request.data = rank->data;
    request.from = rank->from;
    request.count -= operation->mistaken == thread->number + 1;
    rank->status = mu_inproc_open(thread->hub, thread->number, &transport);
    if (rank->status == MU_OK)
        rank->status = mu_group_init(&group, thread->world, transport);
    if (rank->status == MU_OK)
        rank->status = prepare(&group, operation);
    int64_t patience = operation->patience_ns ? operation->patience_ns : 60 * MU_SECOND;
    if (operation->leaver != thread->number + 1)
        run_rounds(thread, &group, &request, mu_now(thread->world) + patience);
    mu_group_finish(&group);
}

static void fill(const struct mu_test_operation *operation, double (*value)(int rank, size_t i),
    struct mu_test_rank *rank, int number)
{
    size_t elements = mu_test_elements(operation);
    const struct mu_request *request = &operation->request;
    rank->culprit = -1;
    rank->data_bytes = elements * mu_dtype_bytes(request->dtype);
    rank->data = calloc(1, rank->data_bytes + 1);
    rank->from = calloc(1, rank->data_bytes + 1);
    assert_true(rank->data && rank->from);
    for (size_t i = 0; i < elements; i++)
        mu_test_store(request->dtype, request->kind == MU_ALLTOALL ? rank->from : rank->data, i,
            value(number, i));
}

void mu_test_ranks_run(const struct mu_test_operation *operation,
    double (*value)(int rank, size_t i), struct mu_test_rank *ranks)
{
    struct mu_real_world real;
    struct mu_inproc_hub *hub;
    struct thread thread[MU_TEST_RANKS_MAX];
    struct mu_thread *handle[MU_TEST_RANKS_MAX] = {0};
    atomic_int entered = 0;
    assert_true(operation->ranks <= MU_TEST_RANKS_MAX);
    assert_ok(mu_real_world_init(&real));
    assert_ok(mu_inproc_hub_create(&real.world, operation->ranks, &hub));
    for (int r = 0; r < operation->ranks; r++) {
        fill(operation, value, &ranks[r], r);
        thread[r] = (struct thread){operation, &real.world, hub, &ranks[r], r, &entered};
    }
    for (int r = 0; r < operation->ranks; r++)
        if (operation->sleeper != r + 1)
            assert_ok(real.world.ops->spawn(&real.world, "rank", run_rank, &thread[r], &handle[r]));
    for (int r = 0; r < operation->ranks; r++)
        if (handle[r])
            real.world.ops->join(&real.world, handle[r]);
    mu_inproc_hub_destroy(hub);
}

void mu_test_ranks_free(const struct mu_test_operation *operation, struct mu_test_rank *ranks)
{
    for (int r = 0; r < operation->ranks; r++) {
        free(ranks[r].data);
        free(ranks[r].from);
    }
}

/* ---- what should come out ---- */

static int owner_of(const struct mu_test_operation *operation, size_t i)
{
    for (int r = 0;; r++) {
        struct mu_span part = mu_request_part(&operation->request, operation->ranks, r);
        if (i < part.first + part.count)
            return r;
    }
}

static double reduced(const struct mu_test_operation *operation, size_t i)
{
    double so_far = mu_test_small(0, i);
    for (int r = 1; r < operation->ranks; r++) {
        double value = mu_test_small(r, i);
        if (operation->request.reduction == MU_SUM)
            so_far += value;
        else if ((operation->request.reduction == MU_MIN) == (value < so_far))
            so_far = value;
    }
    return so_far;
}

/* Of element i at rank r; false: it may be anything. */
static bool expected(const struct mu_test_operation *operation, int r, size_t i, double *ret_value)
{
    size_t count = operation->request.count;
    switch (operation->request.kind) {
    case MU_ALLREDUCE:
        *ret_value = reduced(operation, i);
        return true;
    case MU_REDUCE_SCATTER:
        *ret_value = reduced(operation, i);
        return owner_of(operation, i) == r;
    case MU_ALLGATHER:
        *ret_value = mu_test_small(owner_of(operation, i), i);
        return true;
    case MU_BROADCAST:
        *ret_value = mu_test_small(operation->request.root, i);
        return true;
    case MU_ALLTOALL:
        *ret_value = mu_test_small((int)(i / count), (size_t)r * count + i % count);
        return true;
    default:
        return false;
    }
}

static void check_rank(
    const struct mu_test_operation *operation, const struct mu_test_rank *rank, int number)
{
    const struct mu_request *request = &operation->request;
    const char *kind = mu_request_kind_name(request->kind);
    if (rank->status != MU_OK)
        fail_msg("%s, %s of %zu %s: rank %d of %d ends with %d", operation->algorithm->name, kind,
            request->count, mu_dtype_name(request->dtype), number, operation->ranks, rank->status);
    for (size_t i = 0; i < mu_test_elements(operation); i++) {
        double should;
        double is = mu_test_load(request->dtype, rank->data, i);
        if (expected(operation, number, i, &should) && is != should)
            fail_msg("%s, %s of %zu %s: rank %d of %d has %g instead of %g at %zu",
                operation->algorithm->name, kind, request->count, mu_dtype_name(request->dtype),
                number, operation->ranks, is, should, i);
    }
}

void mu_test_operation_check(const struct mu_test_operation *operation)
{
    struct mu_test_rank ranks[MU_TEST_RANKS_MAX] = {0};
    mu_test_ranks_run(operation, mu_test_small, ranks);
    for (int r = 0; r < operation->ranks; r++)
        check_rank(operation, &ranks[r], r);
    mu_test_ranks_free(operation, ranks);
}

/* The order of rounding that algorithm.h promises. */
static float canonical(const struct mu_test_operation *operation, size_t i)
{
    int first = owner_of(operation, i);
    float sum = mu_test_rough(first, i);
    for (int r = 1; r < operation->ranks; r++)
        sum += mu_test_rough((first + r) % operation->ranks, i);
    return sum;
}

void mu_test_canonical_check(const struct mu_test_operation *operation)
{
    struct mu_test_rank ranks[MU_TEST_RANKS_MAX] = {0};
    bool scatters = operation->request.kind == MU_REDUCE_SCATTER;
    mu_test_ranks_run(operation, rough, ranks);
    for (int r = 0; r < operation->ranks; r++) {
        assert_ok(ranks[r].status);
        for (size_t i = 0; i < mu_test_elements(operation); i++)
            if ((!scatters || owner_of(operation, i) == r) &&
                ((float *)(void *)ranks[r].data)[i] != canonical(operation, i))
                fail_msg("%s: rank %d of %d, element %zu of %zu is rounded otherwise",
                    operation->algorithm->name, r, operation->ranks, i,
                    mu_test_elements(operation));
    }
    mu_test_ranks_free(operation, ranks);
}

void mu_test_barrier_check(const struct mu_test_operation *operation)
{
    struct mu_test_rank ranks[MU_TEST_RANKS_MAX] = {0};
    mu_test_ranks_run(operation, mu_test_small, ranks);
    for (int r = 0; r < operation->ranks; r++) {
        assert_ok(ranks[r].status);
        if (ranks[r].early)
            fail_msg("%s: rank %d of %d was through %d barriers early", operation->algorithm->name,
                r, operation->ranks, ranks[r].early);
    }
    mu_test_ranks_free(operation, ranks);
}
