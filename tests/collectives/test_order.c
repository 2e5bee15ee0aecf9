/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/order.h"
#include "test.h"

static void expect(const struct mu_order_bucket *bucket, const int *expected, int count)
{
    int order[8];
    mu_order_plan(bucket, count, order);
    for (int i = 0; i < count; i++)
        assert_int_equal(order[i], expected[i]);
}

static void a_quick_exchange_follows_backward(void **state)
{
    (void)state;
    const struct mu_order_bucket bucket[] = {{300, 0, 1}, {200, 2, 1}, {100, 4, 1}, {0, 6, 1}};
    expect(bucket, (const int[]){0, 1, 2, 3}, 4);
}

static void an_urgent_bucket_overtakes_those_that_wait(void **state)
{
    (void)state;
    /* The first takes until 10; by then all are ready, and the lowest is needed first. */
    const struct mu_order_bucket bucket[] = {{300, 0, 10}, {200, 2, 10}, {100, 4, 10}, {0, 6, 10}};
    expect(bucket, (const int[]){0, 3, 2, 1}, 4);
}

static void the_way_is_never_kept_free_for_a_bucket_that_is_to_come(void **state)
{
    (void)state;
    const struct mu_order_bucket bucket[] = {{300, 0, 3}, {200, 1, 5}, {0, 4, 5}};
    expect(bucket, (const int[]){0, 1, 2}, 3);
}

static void no_bucket_and_one(void **state)
{
    (void)state;
    const struct mu_order_bucket bucket[] = {{0, 5, 1}};
    expect(bucket, NULL, 0);
    expect(bucket, (const int[]){0}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_exchange_follows_backward),
        cmocka_unit_test(an_urgent_bucket_overtakes_those_that_wait),
        cmocka_unit_test(the_way_is_never_kept_free_for_a_bucket_that_is_to_come),
        cmocka_unit_test(no_bucket_and_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
