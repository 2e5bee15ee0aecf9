/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/doubling.h"
#include "collectives/flow.h"
#include "collectives/halving.h"
#include "collectives/pairwise.h"
#include "collectives/ring.h"
#include "collectives/tree.h"
#include "collectives/tree_double.h"
#include "ranks.h"
#include "runtime/base/world.h"
#include "test.h"

/* Everything that goes by messages alone does every kind of operation that it says it can. */
static const struct mu_algorithm *const algorithms[] = {
    &mu_ring, &mu_doubling, &mu_halving, &mu_tree, &mu_tree_double, &mu_pairwise};
#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

static const int rank_counts[] = {2, 3, 4, 5, 6, 7, 8, 9, 16};
#define RANK_COUNTS (sizeof(rank_counts) / sizeof(rank_counts[0]))

static bool adds(enum mu_request_kind kind)
{
    return kind == MU_ALLREDUCE || kind == MU_REDUCE_SCATTER;
}

/* ---- every kind, rank count and type ---- */

static struct mu_request request_of(
    enum mu_request_kind kind, enum mu_dtype dtype, size_t count, int ranks)
{
    static const enum mu_reduction reductions[] = {MU_SUM, MU_MIN, MU_MAX};
    struct mu_request request = {.kind = kind, .dtype = dtype, .wire = dtype, .count = count};
    request.reduction = adds(kind) ? reductions[(count + dtype) % 3] : MU_SUM;
    request.root = (int)(count % (size_t)ranks);
    return request;
}

static void check(const struct mu_algorithm *algorithm, int ranks, struct mu_request request)
{
    struct mu_test_operation operation = {
        .algorithm = algorithm, .request = request, .ranks = ranks, .rounds = 1};
    mu_test_operation_check(&operation);
    if (!adds(request.kind) || !algorithm->keeps_order)
        return;
    operation.deterministic = true;
    mu_test_operation_check(&operation);
}

static void check_kind(const struct mu_algorithm *algorithm, enum mu_request_kind kind, int ranks)
{
    size_t few = (size_t)ranks;
    const size_t counts[] = {0, 1, few - 1, few + 1, 9001};
    if (kind == MU_BARRIER)
        return;
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
        check(algorithm, ranks,
            request_of(kind, (enum mu_dtype)((c + few) % MU_DTYPE_COUNT), counts[c], ranks));
    for (enum mu_dtype dtype = 0; dtype < MU_DTYPE_COUNT && (ranks == 3 || ranks == 4); dtype++)
        check(algorithm, ranks, request_of(kind, dtype, 777, ranks));
}

static void every_rank_ends_with_what_it_should(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (enum mu_request_kind kind = 0; kind < MU_REQUEST_KIND_COUNT; kind++)
            for (size_t r = 0; r < RANK_COUNTS; r++)
                if (algorithms[a]->kinds & 1u << kind)
                    check_kind(algorithms[a], kind, rank_counts[r]);
}

static void long_vectors_are_cut(void **state)
{
    (void)state;
    size_t count = (MU_OPS_IN_FLIGHT + 2) * MU_SEGMENT_BYTES / sizeof(float) + 1;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (enum mu_request_kind kind = 0; kind < MU_REQUEST_KIND_COUNT; kind++)
            for (int ranks = 2; ranks <= 5; ranks++)
                if (algorithms[a]->kinds & 1u << kind && kind != MU_BARRIER)
                    check(algorithms[a], ranks,
                        request_of(kind, MU_FLOAT32,
                            kind == MU_ALLTOALL ? count / (size_t)ranks : count, ranks));
}

static void no_rank_comes_through_a_barrier_early(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (size_t r = 0; r < RANK_COUNTS; r++)
            if (algorithms[a]->kinds & 1u << MU_BARRIER)
                mu_test_barrier_check(&(struct mu_test_operation){
                    .algorithm = algorithms[a],
                    .request = {.kind = MU_BARRIER},
                    .ranks = rank_counts[r],
                    .rounds = 20,
                });
}

/* ---- parts of any length ---- */

static void check_parts(const struct mu_algorithm *algorithm, enum mu_request_kind kind, int ranks,
    const size_t *counts)
{
    struct mu_request request = {.kind = kind, .counts = counts};
    for (int r = 0; r < ranks; r++)
        request.count += counts[r];
    check(algorithm, ranks, request);
}

static void parts_may_be_empty_or_much_longer_than_others(void **state)
{
    (void)state;
    const size_t much = (MU_OPS_IN_FLIGHT + 2) * MU_SEGMENT_BYTES / sizeof(float) + 3;
    const size_t counts[][8] = {
        {0, 0, 0, 0, 0, 0, 0, 0},
        {much, 1, 1, 1, 1, 1, 1, 1},
        {1, much, 0, 17, 3, much, 2, 0},
        {0, 0, 0, 5, 0, 0, 0, 0},
        {4000, much, much, 2, 9, 0, 0, 1},
    };
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (int ranks = 2; ranks <= 8; ranks += ranks < 4 ? 1 : 4)
            for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
                if (algorithms[a]->kinds & 1u << MU_ALLGATHER)
                    check_parts(algorithms[a], MU_ALLGATHER, ranks, counts[c]);
                if (algorithms[a]->kinds & 1u << MU_REDUCE_SCATTER)
                    check_parts(algorithms[a], MU_REDUCE_SCATTER, ranks, counts[c]);
            }
}

/* ---- the order of rounding ---- */

static void those_that_keep_the_order_round_alike(void **state)
{
    (void)state;
    const size_t counts[] = {1, 7, 1000, 40000};
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (size_t r = 0; r < RANK_COUNTS; r++)
            for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
                for (enum mu_request_kind kind = 0; kind < MU_REQUEST_KIND_COUNT; kind++) {
                    struct mu_test_operation operation = {
                        .algorithm = algorithms[a],
                        .request = {.kind = kind, .count = counts[c]},
                        .ranks = rank_counts[r],
                        .deterministic = true,
                    };
                    if (adds(kind) && algorithms[a]->keeps_order &&
                        algorithms[a]->kinds & 1u << kind)
                        mu_test_canonical_check(&operation);
                }
}

static double rough(int rank, size_t i)
{
    return (double)mu_test_rough(rank, i);
}

static void all_ranks_end_with_the_same_bits(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (size_t r = 0; r < RANK_COUNTS; r++) {
            struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
            struct mu_test_operation operation = {
                .algorithm = algorithms[a],
                .request = {.kind = MU_ALLREDUCE, .count = 5000},
                .ranks = rank_counts[r],
            };
            if (!(algorithms[a]->kinds & 1u << MU_ALLREDUCE))
                continue;
            mu_test_ranks_run(&operation, rough, rank);
            for (int i = 0; i < operation.ranks; i++) {
                assert_ok(rank[i].status);
                assert_memory_equal(rank[i].data, rank[0].data, rank[0].data_bytes);
            }
            mu_test_ranks_free(&operation, rank);
        }
}

/* ---- ranks that do not take part ---- */

static enum mu_request_kind first_kind(const struct mu_algorithm *algorithm)
{
    enum mu_request_kind kind = 0;
    while (!(algorithm->kinds & 1u << kind))
        kind++;
    return kind;
}

static void a_rank_that_is_gone_is_named(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (int gone = 0; gone < 2; gone++) {
            struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
            struct mu_test_operation operation = {
                .algorithm = algorithms[a],
                .request = {.kind = first_kind(algorithms[a]), .count = 100},
                .ranks = 2,
                .leaver = gone + 1,
            };
            mu_test_ranks_run(&operation, rough, rank);
            assert_int_equal(rank[1 - gone].status, MU_CLOSED);
            assert_int_equal(rank[1 - gone].culprit, gone);
            mu_test_ranks_free(&operation, rank);
        }
}

static void a_rank_that_does_not_come_is_named(void **state)
{
    (void)state;
    for (size_t a = 0; a < ALGORITHM_COUNT; a++)
        for (int missing = 0; missing < 2; missing++) {
            struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
            struct mu_test_operation operation = {
                .algorithm = algorithms[a],
                .request = {.kind = first_kind(algorithms[a]), .count = 100},
                .ranks = 2,
                .patience_ns = 10 * MU_MS,
                .sleeper = missing + 1,
            };
            mu_test_ranks_run(&operation, rough, rank);
            assert_int_equal(rank[1 - missing].status, MU_TIMEOUT);
            assert_int_equal(rank[1 - missing].culprit, missing);
            mu_test_ranks_free(&operation, rank);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_ends_with_what_it_should),
        cmocka_unit_test(long_vectors_are_cut),
        cmocka_unit_test(no_rank_comes_through_a_barrier_early),
        cmocka_unit_test(parts_may_be_empty_or_much_longer_than_others),
        cmocka_unit_test(those_that_keep_the_order_round_alike),
        cmocka_unit_test(all_ranks_end_with_the_same_bits),
        cmocka_unit_test(a_rank_that_is_gone_is_named),
        cmocka_unit_test(a_rank_that_does_not_come_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
