/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/choose.h"
#include "collectives/shared.h"
#include "rank_threads.h"
#include "ranks.h"
#include "runtime/device/reduce.h"
#include <math.h>

/*
 * Every algorithm of the registry, every operation, type, reduction, a few lengths and rank counts,
 * against element by element. Ranks are threads over inproc; the same again where they share
 * memory, and where they lie on hosts of two.
 */
#define COUNT_MAX 100003
#define ALGORITHMS_MAX 16
enum ground { APART, SHARED, HOSTS, GROUNDS };
static const char *const ground_name[] = {"apart", "shared memory", "hosts of two"};
static const int rank_counts[] = {1, 2, 3, 4, 5, 8};

/* What the ranks of one run share: it is only written before they start. */
static struct {
    enum ground ground;
} setting;

/* Operations that each algorithm has run, counted by rank 0. */
static unsigned long runs[ALGORITHMS_MAX];

/* One rank with its group and vectors. */
struct seat {
    struct rank *rank;
    struct mu_group group;
    char *data, *from, *expected;
    size_t counts[RANKS_MAX];
};

/* ---- making groups ---- */

static enum mu_status sit(struct seat *seat, struct rank *rank)
{
    struct mu_group *group = &seat->group;
    seat->rank = rank;
    MU_TRY(mu_group_init(group, &rank->ranks->real.world, rank->transport));
    if (setting.ground == SHARED)
        MU_TRY(mu_shared_open(group, &rank->log.log, ranks_soon(rank)));
    if (setting.ground == HOSTS)
        MU_TRY(mu_test_make_hosts(group, 2));
    seat->data = calloc(COUNT_MAX, sizeof(double));
    seat->from = calloc(COUNT_MAX, sizeof(double));
    seat->expected = calloc(COUNT_MAX, sizeof(double));
    return seat->data && seat->from && seat->expected ? MU_OK : MU_NO_MEMORY;
}

/* The transport stays with the rank, and so does what it knows of after a failure. */
static void rise(struct seat *seat)
{
    if (seat->group.failed)
        return;
    seat->rank->transport->signature = NULL;
    seat->group.transport = NULL;
    mu_group_finish(&seat->group);
    free(seat->data);
    free(seat->from);
    free(seat->expected);
}

static enum mu_status seated(struct rank *rank, enum mu_status (*run)(struct seat *seat))
{
    struct seat seat = {0};
    enum mu_status status = sit(&seat, rank);
    if (status == MU_OK)
        status = run(&seat);
    if (status != MU_OK)
        mu_say(&rank->log.log, MU_LEVEL_ERROR, "%s", seat.group.error);
    rise(&seat);
    return status;
}

/* ---- what should come out ---- */

static bool reduces(enum mu_request_kind kind)
{
    return kind == MU_ALLREDUCE || kind == MU_REDUCE_SCATTER;
}

static double reduced(const struct mu_request *request, int ranks, size_t i)
{
    double so_far = mu_test_small(0, i);
    for (int r = 1; r < ranks; r++) {
        double value = mu_test_small(r, i);
        if (request->reduction == MU_MIN)
            so_far = fmin(so_far, value);
        else if (request->reduction == MU_MAX)
            so_far = fmax(so_far, value);
        else
            so_far += value;
    }
    return so_far;
}

static int owner_of(const struct mu_request *request, int ranks, size_t i)
{
    for (int r = 0;; r++) {
        struct mu_span part = mu_request_part(request, ranks, r);
        if (i < part.first + part.count)
            return r;
    }
}

static size_t length_of(const struct mu_request *request, int ranks)
{
    if (request->kind == MU_BARRIER)
        return 0;
    return request->kind == MU_ALLTOALL ? request->count * (size_t)ranks : request->count;
}

static double value_of(const struct mu_request *request, const struct mu_group *group, size_t i)
{
    switch (request->kind) {
    case MU_ALLGATHER:
        return mu_test_small(owner_of(request, group->count, i), i);
    case MU_BROADCAST:
        return mu_test_small(request->root, i);
    case MU_ALLTOALL:
        return mu_test_small(
            (int)(i / request->count), (size_t)group->rank * request->count + i % request->count);
    default:
        return reduced(request, group->count, i);
    }
}

/* Elements that have to be right: all, or this rank's part. */
static struct mu_span promised(const struct mu_request *request, const struct mu_group *group)
{
    if (request->kind == MU_REDUCE_SCATTER)
        return mu_request_part(request, group->count, group->rank);
    return (struct mu_span){0, length_of(request, group->count)};
}

static void expect(struct seat *seat, const struct mu_request *request)
{
    struct mu_span span = promised(request, &seat->group);
    for (size_t i = span.first; i < span.first + span.count; i++)
        mu_test_store(request->dtype, seat->expected, i, value_of(request, &seat->group, i));
    if (reduces(request->kind) && request->reduction == MU_MEAN)
        mu_reduce_divide(request->dtype,
            seat->expected + span.first * mu_dtype_bytes(request->dtype), seat->group.count,
            span.count);
}

static bool is_right(const struct seat *seat, const struct mu_request *request)
{
    struct mu_span span = promised(request, &seat->group);
    size_t element = mu_dtype_bytes(request->dtype);
    return memcmp(seat->data + span.first * element, seat->expected + span.first * element,
               span.count * element) == 0;
}

/* ---- every row ---- */

static enum mu_status complain(
    struct seat *seat, const struct mu_algorithm *algorithm, const struct mu_request *request)
{
    mu_say(&seat->rank->log.log, MU_LEVEL_ERROR,
        "%s: %s of %zu %s, %s, rank %d of %d, %s: not what it should be", algorithm->name,
        mu_request_kind_name(request->kind), request->count, mu_dtype_name(request->dtype),
        mu_reduction_name(request->reduction), seat->group.rank, seat->group.count,
        ground_name[setting.ground]);
    return MU_BUG;
}

/* What goes by messages alone does the same on every ground. */
static bool needs_ground(const struct mu_algorithm *algorithm)
{
    static const char *const who[] = {[SHARED] = "direct", [HOSTS] = "hierarchical"};
    return setting.ground == APART || strcmp(algorithm->name, who[setting.ground]) == 0;
}

static bool can(
    const struct seat *seat, const struct mu_algorithm *algorithm, const struct mu_request *request)
{
    const char *why;
    return (algorithm->kinds & 1u << request->kind) &&
           isfinite(algorithm->score(&seat->group, request, &why));
}

static enum mu_status run_by(
    struct seat *seat, const struct mu_algorithm *algorithm, const struct mu_request *request)
{
    int culprit;
    seat->group.forced = algorithm;
    MU_TRY(mu_group_run(&seat->group, request, ranks_soon(seat->rank), &culprit));
    seat->group.forced = NULL;
    if (seat->group.rank == 0)
        runs[mu_choose_place(algorithm)]++;
    return MU_OK;
}

static enum mu_status check(struct seat *seat, struct mu_request *request)
{
    size_t length = length_of(request, seat->group.count);
    request->data = seat->data;
    request->from = seat->from;
    expect(seat, request);
    for (size_t i = 0; i < length; i++)
        mu_test_store(request->dtype, seat->from, i, mu_test_small(seat->group.rank, i));
    for (int a = 0; mu_algorithms[a]; a++) {
        if (!needs_ground(mu_algorithms[a]) || !can(seat, mu_algorithms[a], request))
            continue;
        memcpy(seat->data, seat->from, length * mu_dtype_bytes(request->dtype));
        MU_TRY(run_by(seat, mu_algorithms[a], request));
        if (!is_right(seat, request))
            return complain(seat, mu_algorithms[a], request);
    }
    return MU_OK;
}

/* Parts of unequal lengths, some of them empty, for those operations that have parts. */
static void cut(struct seat *seat, struct mu_request *request)
{
    int ranks = seat->group.count;
    size_t left = request->count;
    if (request->kind != MU_REDUCE_SCATTER && request->kind != MU_ALLGATHER)
        return;
    for (int r = 0; r < ranks; r++) {
        seat->counts[r] = r == ranks - 1 ? left : r % 2 ? 0 : left / 3;
        left -= seat->counts[r];
    }
    request->counts = seat->counts;
}

static enum mu_status check_lengths(struct seat *seat, struct mu_request request)
{
    size_t ranks = (size_t)seat->group.count;
    const size_t counts[] = {0, 1, 3, ranks - 1, ranks, 1000, COUNT_MAX};
    /* The longest with each type and with each reduction, but not with both, nor on many. */
    bool rare = request.dtype != MU_FLOAT32 && (request.reduction != MU_SUM || ranks > 3);
    for (size_t c = 0; c < MU_COUNT_OF(counts) - rare; c++) {
        request.count = counts[c];
        if (request.kind == MU_ALLTOALL)
            request.count /= ranks;
        request.root = (int)(c % ranks);
        request.counts = NULL;
        MU_TRY(check(seat, &request));
        cut(seat, &request);
        if (request.counts)
            MU_TRY(check(seat, &request));
    }
    return MU_OK;
}

static enum mu_status check_all(struct seat *seat)
{
    for (int kind = 0; kind < MU_REQUEST_KIND_COUNT; kind++)
        for (int dtype = 0; dtype < MU_DTYPE_COUNT; dtype++)
            for (int reduction = 0; reduction < MU_REDUCTION_COUNT; reduction++) {
                struct mu_request request = {.kind = (enum mu_request_kind)kind,
                    .dtype = (enum mu_dtype)dtype,
                    .wire = (enum mu_dtype)dtype,
                    .reduction = (enum mu_reduction)reduction};
                if (reduction == MU_SUM || reduces(request.kind))
                    MU_TRY(check_lengths(seat, request));
            }
    return MU_OK;
}

static enum mu_status run_all(struct rank *rank)
{
    return seated(rank, check_all);
}

/* ---- bits ---- */

/* With `deterministic`, sums of numbers whose order shows are those of algorithm.h. */
static enum mu_status check_bits(struct seat *seat)
{
    struct mu_request request = {.kind = MU_ALLREDUCE, .data = seat->data};
    int ranks = seat->group.count;
    seat->group.deterministic = true;
    for (request.count = 1; request.count < COUNT_MAX; request.count = request.count * 11 + 1) {
        float *expected = (float *)(void *)seat->expected, *data = (float *)(void *)seat->data;
        for (size_t i = 0; i < request.count; i++) {
            int first = owner_of(&request, ranks, i);
            expected[i] = mu_test_rough(first, i);
            for (int r = 1; r < ranks; r++)
                expected[i] += mu_test_rough((first + r) % ranks, i);
        }
        for (int a = 0; mu_algorithms[a]; a++) {
            if (!mu_algorithms[a]->keeps_order || !can(seat, mu_algorithms[a], &request))
                continue;
            for (size_t i = 0; i < request.count; i++)
                data[i] = mu_test_rough(seat->group.rank, i);
            MU_TRY(run_by(seat, mu_algorithms[a], &request));
            if (!is_right(seat, &request))
                return complain(seat, mu_algorithms[a], &request);
        }
    }
    return MU_OK;
}

static enum mu_status run_bits(struct rank *rank)
{
    return seated(rank, check_bits);
}

/* ---- sub-groups ---- */

/* Odd and even ranks, in reverse order; each adds up; then the whole again, with its parts open. */
static enum mu_status check_parts(struct seat *seat)
{
    struct mu_group *whole = &seat->group, *part = NULL;
    int rank = whole->rank, members = 0;
    int32_t sum = 0, all = 0;
    MU_TRY(mu_group_split(whole, rank % 2, -rank, &part));
    for (int r = whole->count - 1; r >= 0; r--) {
        if (r == rank && mu_group_rank(part) != members)
            return MU_BUG;
        members += r % 2 == rank % 2;
        sum += r % 2 == rank % 2 ? r + 1 : 0;
        all += r + 1;
    }
    int32_t got = rank + 1, got_all = rank + 1;
    enum mu_status status = mu_group_allreduce(part, &got, 1, MU_INT32, MU_SUM);
    if (status == MU_OK)
        status = mu_group_allreduce(whole, &got_all, 1, MU_INT32, MU_SUM);
    if (status == MU_OK && (got != sum || got_all != all || mu_group_size(part) != members))
        status = MU_BUG;
    mu_group_finish(part);
    free(part);
    MU_TRY(status);
    MU_TRY(mu_group_split(whole, rank == 0 ? -1 : 0, 0, &part));
    if ((part == NULL) != (rank == 0))
        return MU_BUG;
    if (part)
        status = mu_group_barrier(part);
    if (part)
        mu_group_finish(part);
    free(part);
    return status;
}

static enum mu_status run_parts(struct rank *rank)
{
    return seated(rank, check_parts);
}

/* ---- memory ---- */

static enum mu_status check_memory(struct seat *seat)
{
    size_t count = 10000;
    enum mu_status status = MU_OK;
    float *vector = mu_group_alloc(&seat->group, count * sizeof(float));
    if (!vector || vector[count - 1] != 0 || (uintptr_t)vector % 4096)
        return MU_BUG;
    for (size_t i = 0; i < count; i++)
        vector[i] = (float)(seat->group.rank + 1);
    status = mu_group_allreduce(&seat->group, vector, count, MU_FLOAT32, MU_MEAN);
    for (size_t i = 0; i < count && status == MU_OK; i++)
        if (vector[i] != (float)(seat->group.count + 1) / 2)
            status = MU_BUG;
    mu_group_free(&seat->group, vector);
    mu_group_free(&seat->group, NULL);
    return status;
}

static enum mu_status run_memory(struct rank *rank)
{
    return seated(rank, check_memory);
}

/* ---- costs ---- */

static struct mu_costs found[RANKS_MAX];

static enum mu_status check_costs(struct seat *seat)
{
    MU_TRY(mu_costs_probe(&seat->group, ranks_soon(seat->rank)));
    found[seat->group.rank] = seat->group.costs;
    return mu_group_barrier(&seat->group);
}

static enum mu_status run_costs(struct rank *rank)
{
    return seated(rank, check_costs);
}

/* ---- the tests ---- */

static void run_on(enum ground ground, int count, enum mu_status (*run)(struct rank *rank))
{
    static struct ranks ranks;
    setting.ground = ground;
    ranks_begin(&ranks, count);
    ranks_run(&ranks, run);
    for (int r = 0; r < count; r++)
        if (ranks.rank[r].status != MU_OK)
            fail_msg("%s, rank %d of %d ends with %d: %s", ground_name[ground], r, count,
                (int)ranks.rank[r].status, ranks.rank[r].log.text);
    ranks_end(&ranks);
}

static void run_everywhere(enum mu_status (*run)(struct rank *rank))
{
    for (int ground = 0; ground < GROUNDS; ground++)
        for (size_t i = 0; i < MU_COUNT_OF(rank_counts); i++)
            if (ground == APART || rank_counts[i] > 1)
                run_on((enum ground)ground, rank_counts[i], run);
}

static void every_algorithm_gives_what_it_should(void **state)
{
    (void)state;
    run_everywhere(run_all);
    for (int a = 0; mu_algorithms[a]; a++)
        if (runs[a] == 0 && strcmp(mu_algorithms[a]->name, "mpi") != 0) /* needs mpirun */
            fail_msg("%s was never run", mu_algorithms[a]->name);
}

static void a_deterministic_sum_has_the_same_bits_by_every_algorithm(void **state)
{
    (void)state;
    run_everywhere(run_bits);
}

static void parts_of_a_group_are_groups(void **state)
{
    (void)state;
    run_everywhere(run_parts);
}

static void memory_of_a_group_serves_its_calls(void **state)
{
    (void)state;
    run_everywhere(run_memory);
}

static void ranks_agree_on_what_things_cost(void **state)
{
    (void)state;
    for (int ground = 0; ground < GROUNDS; ground++)
        for (int count = 2; count <= 4; count++) {
            run_on((enum ground)ground, count, run_costs);
            for (int r = 1; r < count; r++)
                assert_memory_equal(&found[r], &found[0], sizeof(found[0]));
            assert_true(found[0].message > 0 && found[0].add > 0);
            assert_int_equal(found[0].barrier > 0, ground == SHARED);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_gives_what_it_should),
        cmocka_unit_test(a_deterministic_sum_has_the_same_bits_by_every_algorithm),
        cmocka_unit_test(parts_of_a_group_are_groups),
        cmocka_unit_test(memory_of_a_group_serves_its_calls),
        cmocka_unit_test(ranks_agree_on_what_things_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
