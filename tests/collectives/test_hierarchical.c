/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/hierarchical.h"
#include "ranks.h"
#include "runtime/base/world.h"
#include "test.h"

static struct mu_test_operation sum_of(int ranks, int host_ranks, size_t count)
{
    return (struct mu_test_operation){
        .algorithm = &mu_hierarchical,
        .request = {.kind = MU_ALLREDUCE, .count = count},
        .ranks = ranks,
        .host_ranks = host_ranks,
    };
}

static void every_rank_gets_the_sum_of_all_hosts(void **state)
{
    (void)state;
    for (int ranks = 3; ranks <= 9; ranks++)
        for (int host_ranks = 2; host_ranks < ranks; host_ranks++)
            for (size_t count = 0; count <= 10000; count = 10 * count + 1) {
                struct mu_test_operation operation = sum_of(ranks, host_ranks, count);
                operation.rounds = 1;
                mu_test_operation_check(&operation);
            }
}

static void all_types_and_reductions_go_through(void **state)
{
    (void)state;
    for (enum mu_dtype dtype = 0; dtype < MU_DTYPE_COUNT; dtype++)
        for (enum mu_reduction reduction = MU_SUM; reduction <= MU_MAX; reduction++) {
            struct mu_test_operation operation = sum_of(5, 2, 500);
            operation.request.dtype = operation.request.wire = dtype;
            operation.request.reduction = reduction;
            if (reduction != MU_MEAN)
                mu_test_operation_check(&operation);
        }
}

static void what_goes_abroad_may_be_narrow(void **state)
{
    (void)state;
    struct mu_test_operation operation = sum_of(6, 2, 3000);
    operation.request.wire = MU_BFLOAT16;
    mu_test_operation_check(&operation);
}

static void no_rank_comes_through_a_barrier_early(void **state)
{
    (void)state;
    for (int ranks = 3; ranks <= 9; ranks++) {
        struct mu_test_operation operation = sum_of(ranks, 2, 0);
        operation.request.kind = MU_BARRIER;
        operation.rounds = 20;
        mu_test_barrier_check(&operation);
    }
}

static void it_says_what_it_needs(void **state)
{
    (void)state;
    const char *why = "";
    struct mu_group group = {.count = 4};
    struct mu_request request = {.kind = MU_ALLREDUCE, .count = 10};
    double seconds = mu_hierarchical.score(&group, &request, &why);
    assert_true(seconds > 1e300);
    assert_string_equal(why, "needs several hosts and several ranks on one");
}

/* Rank 4 of the group is rank 0 of its home. */
static void a_rank_that_does_not_come_is_named(void **state)
{
    (void)state;
    struct mu_test_rank rank[MU_TEST_RANKS_MAX] = {0};
    struct mu_test_operation operation = sum_of(6, 2, 100);
    operation.sleeper = 4 + 1;
    operation.patience_ns = 20 * MU_MS;
    mu_test_ranks_run(&operation, mu_test_small, rank);
    assert_int_equal(rank[5].status, MU_TIMEOUT);
    assert_int_equal(rank[5].culprit, 4);
    mu_test_ranks_free(&operation, rank);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_gets_the_sum_of_all_hosts),
        cmocka_unit_test(all_types_and_reductions_go_through),
        cmocka_unit_test(what_goes_abroad_may_be_narrow),
        cmocka_unit_test(no_rank_comes_through_a_barrier_early),
        cmocka_unit_test(it_says_what_it_needs),
        cmocka_unit_test(a_rank_that_does_not_come_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
