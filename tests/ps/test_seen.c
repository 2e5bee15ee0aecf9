/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/seen.h"
#include "test.h"

static void the_last_replies_of_each_worker_are_kept(void **state)
{
    (void)state;
    struct mu_seen seen;
    assert_ok(mu_seen_init(&seen, 20, 2, 2));
    assert_null(mu_seen_find(&seen, 0, 0));
    for (uint64_t sequence = 0; sequence < 5; sequence++) {
        float parameters[20] = {[19] = (float)sequence};
        mu_seen_store(&seen, 1, sequence, parameters, 10 + (int64_t)sequence);
    }
    assert_null(mu_seen_find(&seen, 1, 12));
    assert_null(mu_seen_find(&seen, 0, 13));
    assert_float_equal(mu_seen_find(&seen, 1, 13)[19], 3, 0);
    assert_float_equal(mu_seen_find(&seen, 1, 14)[19], 4, 0);
    mu_seen_finish(&seen);
}

static void nothing_is_kept_where_nothing_is_corrected(void **state)
{
    (void)state;
    struct mu_seen none = {0};
    float parameters[4] = {0};
    mu_seen_store(&none, 3, 0, parameters, 7);
    assert_null(mu_seen_find(&none, 3, 7));
    mu_seen_finish(&none);
}

static void an_empty_span_is_kept_too(void **state)
{
    (void)state;
    struct mu_seen seen;
    float nothing[1] = {0};
    assert_ok(mu_seen_init(&seen, 0, 1, 1));
    mu_seen_store(&seen, 0, 0, nothing, 5);
    assert_non_null(mu_seen_find(&seen, 0, 5));
    mu_seen_finish(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_replies_of_each_worker_are_kept),
        cmocka_unit_test(nothing_is_kept_where_nothing_is_corrected),
        cmocka_unit_test(an_empty_span_is_kept_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
