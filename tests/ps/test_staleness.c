/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/staleness.h"
#include "test.h"

static void buckets_follow_each_other_without_gap(void **state)
{
    (void)state;
    static const uint64_t mins[] = {0, 1, 2, 3, 4, 5, 9, 17, 33};
    for (size_t i = 0; i < MU_COUNT_OF(mins); i++)
        assert_int_equal(mu_staleness_bucket_min((int)i), mins[i]);
    for (int i = 1; i < MU_STALENESS_BUCKETS; i++) {
        assert_int_equal(mu_staleness_bucket(mu_staleness_bucket_min(i)), i);
        assert_int_equal(mu_staleness_bucket(mu_staleness_bucket_min(i) - 1), i - 1);
    }
    assert_int_equal(mu_staleness_bucket(UINT64_MAX), MU_STALENESS_BUCKETS - 1);
}

static void every_gradient_is_counted_once(void **state)
{
    (void)state;
    struct mu_staleness staleness = {0};
    assert_true(mu_staleness_mean(&staleness) == 0.0);
    for (uint64_t i = 0; i < 100; i++)
        mu_staleness_add(&staleness, i < 30 ? MU_VERDICT_APPLY : MU_VERDICT_DROP, i);
    uint64_t in_buckets = 0;
    for (int i = 0; i < MU_STALENESS_BUCKETS; i++)
        in_buckets += staleness.buckets[i];
    assert_int_equal(in_buckets, 100);
    assert_int_equal(staleness.buckets[5], 4); /* 5 to 8 */
    assert_int_equal(staleness.count, 100);
    assert_int_equal(staleness.max, 99);
    assert_int_equal(staleness.verdicts[MU_VERDICT_APPLY], 30);
    assert_int_equal(staleness.verdicts[MU_VERDICT_DROP], 70);
    assert_true(mu_staleness_mean(&staleness) == 49.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_each_other_without_gap),
        cmocka_unit_test(every_gradient_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
