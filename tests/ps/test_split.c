/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/split.h"
#include "test.h"

static void check(size_t element_count, int server_count)
{
    size_t next = 0, smallest = SIZE_MAX, largest = 0;
    for (int i = 0; i < server_count; i++) {
        struct mu_span span = mu_split(element_count, server_count, i);
        assert_int_equal(span.first, next);
        assert_true(span.first % MU_VIEW_ALIGN == 0 || span.first == element_count);
        next = span.first + span.count;
        smallest = span.count < smallest ? span.count : smallest;
        largest = span.count > largest ? span.count : largest;
    }
    assert_int_equal(next, element_count);
    assert_true(largest - smallest <= MU_VIEW_ALIGN);
}

static void spans_cover_the_vector_and_differ_by_at_most_one_unit(void **state)
{
    (void)state;
    for (int servers = 1; servers <= MU_PS_SERVERS_MAX; servers++) {
        for (size_t units = 0; units < 200; units++)
            check(units * MU_VIEW_ALIGN, servers);
        check(669712, servers);
        check((size_t)1 << 40, servers);
    }
}

static void an_odd_end_belongs_to_one_server(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 9; servers++) {
        size_t next = 0;
        for (int i = 0; i < servers; i++) {
            struct mu_span span = mu_split(1003, servers, i);
            assert_int_equal(span.first, next);
            next = span.first + span.count;
        }
        assert_int_equal(next, 1003);
    }
}

static void the_first_servers_have_the_larger_spans(void **state)
{
    (void)state;
    assert_int_equal(mu_split(80, 3, 0).count, 32);
    assert_int_equal(mu_split(80, 3, 1).count, 32);
    assert_int_equal(mu_split(80, 3, 2).count, 16);
    assert_int_equal(mu_split(16, 3, 2).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_cover_the_vector_and_differ_by_at_most_one_unit),
        cmocka_unit_test(an_odd_end_belongs_to_one_server),
        cmocka_unit_test(the_first_servers_have_the_larger_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
