/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bucket.h"
#include "test.h"

struct seen {
    struct mu_span bucket[8];
    int count;
};

static void full(void *owner, struct mu_span bucket)
{
    struct seen *seen = owner;
    seen->bucket[seen->count++] = bucket;
}

static void slices_become_buckets_from_the_end(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct mu_bucketer bucketer = {.bucket_count = 50, .full = full, .owner = &seen};
    mu_bucketer_begin(&bucketer, 200);
    mu_bucketer_add(&bucketer, (struct mu_span){180, 20});
    assert_int_equal(seen.count, 0);
    mu_bucketer_add(&bucketer, (struct mu_span){140, 40});
    assert_int_equal(seen.count, 1);
    mu_bucketer_add(&bucketer, (struct mu_span){10, 130});
    mu_bucketer_add(&bucketer, (struct mu_span){0, 10});
    mu_bucketer_flush(&bucketer);
    mu_bucketer_flush(&bucketer);
    assert_int_equal(seen.count, 3);
    const struct mu_span expected[] = {{140, 60}, {10, 130}, {0, 10}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen.bucket[i].first, expected[i].first);
        assert_int_equal(seen.bucket[i].count, expected[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(slices_become_buckets_from_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
