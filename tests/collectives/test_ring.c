/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/flow.h"
#include "collectives/ring.h"
#include "ranks.h"
#include "runtime/base/world.h"
#include "test.h"

#define SEGMENT_COUNT (MU_SEGMENT_BYTES / sizeof(float))

static void sum_of(int ranks, size_t count)
{
    mu_test_canonical_check(&(struct mu_test_operation){
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLREDUCE, .count = count},
        .ranks = ranks,
    });
}

static void every_rank_gets_the_sum_in_the_promised_order(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 9; ranks++)
        for (size_t count = 0; count <= 20; count++)
            sum_of(ranks, count);
}

static void long_vectors_travel_in_segments(void **state)
{
    (void)state;
    sum_of(2, 21 * SEGMENT_COUNT + 3);
    sum_of(3, 16 * SEGMENT_COUNT + 1);
    sum_of(4, 12 * SEGMENT_COUNT);
    sum_of(5, MU_FLOW_SEGMENT_BYTES_MIN + 7);
}

/* Chunks that are longer than a cache go in rounds, whose parts need not be equal. */
static void longer_ones_in_rounds(void **state)
{
    (void)state;
    sum_of(2, 2 * 9 * SEGMENT_COUNT + 3);
    sum_of(3, 3 * 9 * SEGMENT_COUNT - 1);
    sum_of(5, 5 * 11 * SEGMENT_COUNT + 6);
}

/* ---- half types on the wire ---- */

static float rounded(enum mu_dtype half, float x)
{
    uint16_t bits;
    float back;
    mu_test_store(half, &bits, 0, (double)x);
    back = (float)mu_test_load(half, &bits, 0);
    return back;
}

/* The partial sum is rounded on each hop, and once more at the end. */
static float hops(enum mu_dtype half, int ranks, size_t count, size_t i)
{
    int chunk = 0;
    struct mu_request request = {.kind = MU_ALLREDUCE, .count = count};
    while (i >= mu_request_part(&request, ranks, chunk).first +
                    mu_request_part(&request, ranks, chunk).count)
        chunk++;
    float sum = mu_test_rough(chunk, i);
    for (int r = 1; r < ranks; r++)
        sum = mu_test_rough((chunk + r) % ranks, i) + rounded(half, sum);
    return rounded(half, sum);
}

static double rough_value(int rank, size_t i)
{
    return mu_test_rough(rank, i);
}

static void narrow_sum_of(enum mu_dtype half, int ranks, size_t count)
{
    struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
    struct mu_test_operation operation = {
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLREDUCE, .wire = half, .count = count},
        .ranks = ranks,
    };
    mu_test_ranks_run(&operation, rough_value, rank);
    for (int r = 0; r < ranks; r++) {
        assert_ok(rank[r].status);
        for (size_t i = 0; i < count; i++)
            assert_true(((float *)(void *)rank[r].data)[i] == hops(half, ranks, count, i));
    }
    mu_test_ranks_free(&operation, rank);
}

static void sums_that_travel_in_half_types_end_bit_equal(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 5; ranks++)
        for (enum mu_dtype half = MU_FLOAT16; half <= MU_BFLOAT16; half++) {
            narrow_sum_of(half, ranks, 1);
            narrow_sum_of(half, ranks, 1000);
            narrow_sum_of(half, ranks, 9 * SEGMENT_COUNT + 1);
        }
    narrow_sum_of(MU_BFLOAT16, 2, 2 * 9 * SEGMENT_COUNT + 3); /* in rounds */
}

/* ---- parts of any length ---- */

static void gather_of(int ranks, const size_t *counts)
{
    struct mu_test_operation operation = {
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLGATHER, .dtype = MU_INT32, .wire = MU_INT32, .counts = counts},
        .ranks = ranks,
    };
    for (int r = 0; r < ranks; r++)
        operation.request.count += counts[r];
    mu_test_operation_check(&operation);
    operation.request.kind = MU_REDUCE_SCATTER;
    mu_test_operation_check(&operation);
    operation.deterministic = true;
    mu_test_operation_check(&operation);
}

static void parts_of_any_length_are_gathered_and_scattered(void **state)
{
    (void)state;
    gather_of(3, (const size_t[]){0, 40 * SEGMENT_COUNT, 0});
    gather_of(3, (const size_t[]){1, 30 * SEGMENT_COUNT, 17});
    gather_of(4, (const size_t[]){0, 0, 0, 0});
    gather_of(4, (const size_t[]){20 * SEGMENT_COUNT + 1, 3, 0, 5 * SEGMENT_COUNT});
    gather_of(5, (const size_t[]){0, 1, 2, 3, 4});
}

/* ---- failures ---- */

static void a_rank_that_leaves_ends_the_others_with_its_name(void **state)
{
    (void)state;
    struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
    struct mu_test_operation operation = {
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLREDUCE, .count = 100},
        .ranks = 3,
        .leaver = 1 + 1,
    };
    mu_test_ranks_run(&operation, rough_value, rank);
    assert_int_equal(rank[2].status, MU_CLOSED);
    assert_int_equal(rank[0].status, MU_CLOSED);
    /* Who gives up leaves as well, and may be all that a rank that comes late sees. */
    assert_true(rank[0].culprit == 1 || rank[2].culprit == 1);
    mu_test_ranks_free(&operation, rank);
}

static void ranks_that_disagree_about_the_length_hear_so(void **state)
{
    (void)state;
    struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
    struct mu_test_operation operation = {
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLREDUCE, .count = 100},
        .ranks = 3,
        .mistaken = 2 + 1,
    };
    mu_test_ranks_run(&operation, rough_value, rank);
    int protocol = 0;
    for (int r = 0; r < 3; r++) {
        assert_int_not_equal(rank[r].status, MU_OK);
        protocol += rank[r].status == MU_PROTOCOL;
    }
    assert_true(protocol > 0);
    mu_test_ranks_free(&operation, rank);
}

static void missing_peer_ends_in_timeout(void **state)
{
    (void)state;
    struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
    struct mu_test_operation operation = {
        .algorithm = &mu_ring,
        .request = {.kind = MU_ALLREDUCE, .count = 4},
        .ranks = 2,
        .patience_ns = 20 * MU_MS,
        .sleeper = 1 + 1,
    };
    mu_test_ranks_run(&operation, rough_value, rank);
    assert_int_equal(rank[0].status, MU_TIMEOUT);
    assert_int_equal(rank[0].culprit, 1);
    mu_test_ranks_free(&operation, rank);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_gets_the_sum_in_the_promised_order),
        cmocka_unit_test(long_vectors_travel_in_segments),
        cmocka_unit_test(longer_ones_in_rounds),
        cmocka_unit_test(sums_that_travel_in_half_types_end_bit_equal),
        cmocka_unit_test(parts_of_any_length_are_gathered_and_scattered),
        cmocka_unit_test(a_rank_that_leaves_ends_the_others_with_its_name),
        cmocka_unit_test(ranks_that_disagree_about_the_length_hear_so),
        cmocka_unit_test(missing_peer_ends_in_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
