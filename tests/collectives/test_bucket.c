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

static const struct mu_bucketer small_first = {.first_count = 20, .bucket_count = 50, .full = full};

static void expect(const struct seen *seen, const struct mu_span expected[], int count)
{
    assert_int_equal(seen->count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(seen->bucket[i].first, expected[i].first);
        assert_int_equal(seen->bucket[i].count, expected[i].count);
    }
}

static void slices_become_buckets_from_the_end(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct mu_bucketer bucketer = small_first;
    bucketer.owner = &seen;
    mu_bucketer_begin(&bucketer);
    mu_bucketer_add(&bucketer, (struct mu_span){190, 10});
    assert_int_equal(seen.count, 0);
    mu_bucketer_add(&bucketer, (struct mu_span){180, 10});
    mu_bucketer_add(&bucketer, (struct mu_span){140, 40});
    mu_bucketer_add(&bucketer, (struct mu_span){10, 130});
    mu_bucketer_add(&bucketer, (struct mu_span){0, 10});
    mu_bucketer_flush(&bucketer);
    mu_bucketer_flush(&bucketer);
    expect(&seen, (const struct mu_span[]){{180, 20}, {10, 170}, {0, 10}}, 3);
}

static void the_first_bucket_of_every_step_is_small(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct mu_bucketer bucketer = small_first;
    bucketer.owner = &seen;
    for (int step = 0; step < 2; step++) {
        mu_bucketer_begin(&bucketer);
        for (int i = 9; i >= 0; i--)
            mu_bucketer_add(&bucketer, (struct mu_span){(size_t)i * 10, 10});
        mu_bucketer_flush(&bucketer);
    }
    expect(&seen,
        (const struct mu_span[]){{80, 20}, {30, 50}, {0, 30}, {80, 20}, {30, 50}, {0, 30}}, 6);
}

static void slices_that_do_not_touch_are_buckets_apart(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct mu_bucketer bucketer = small_first;
    bucketer.owner = &seen;
    mu_bucketer_begin(&bucketer);
    mu_bucketer_add(&bucketer, (struct mu_span){0, 10});
    mu_bucketer_add(&bucketer, (struct mu_span){10, 5}); /* above extends too */
    mu_bucketer_add(&bucketer, (struct mu_span){50, 10});
    mu_bucketer_add(&bucketer, (struct mu_span){20, 0}); /* nothing is nothing */
    mu_bucketer_add(&bucketer, (struct mu_span){30, 20});
    mu_bucketer_flush(&bucketer);
    expect(&seen, (const struct mu_span[]){{0, 15}, {30, 30}}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_become_buckets_from_the_end),
        cmocka_unit_test(the_first_bucket_of_every_step_is_small),
        cmocka_unit_test(slices_that_do_not_touch_are_buckets_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
