/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/split.h"
#include "test.h"

static void check(size_t element_count, int server_count)
{
    size_t next = 0, smallest = SIZE_MAX, largest = 0, servers = (size_t)server_count;
    size_t unit = element_count < 10 * MU_VIEW_ALIGN * servers ? 1 : MU_VIEW_ALIGN;
    for (int i = 0; i < server_count; i++) {
        struct mu_span span = mu_split(element_count, server_count, i);
        assert_int_equal(span.first, next);
        assert_true(span.first % unit == 0 || span.first == element_count);
        next = span.first + span.count;
        smallest = span.count < smallest ? span.count : smallest;
        largest = span.count > largest ? span.count : largest;
    }
    assert_int_equal(next, element_count);
    assert_true(largest - smallest <= unit);
    if (element_count >= 10 * servers)
        assert_true(10 * largest * servers <= 11 * element_count);
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

static void check_odd_end(size_t element_count, int servers)
{
    size_t next = 0;
    for (int i = 0; i < servers; i++) {
        struct mu_span span = mu_split(element_count, servers, i);
        assert_true(span.first == next);
        next = span.first + span.count;
    }
    assert_true(next == element_count);
}

static void an_odd_end_belongs_to_one_server(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 9; servers++) {
        check_odd_end(1003, servers);
        check_odd_end(SIZE_MAX, servers);
    }
}

static void the_first_servers_have_the_larger_spans(void **state)
{
    (void)state;
    assert_int_equal(mu_split(80, 3, 0).count, 27);
    assert_int_equal(mu_split(80, 3, 1).count, 27);
    assert_int_equal(mu_split(80, 3, 2).count, 26);
    assert_int_equal(mu_split(2, 3, 2).count, 0);
    assert_int_equal(mu_split(496, 3, 0).count, 176);
    assert_int_equal(mu_split(496, 3, 1).count, 160);
    assert_int_equal(mu_split(496, 3, 2).count, 160);
}

/* 10^5 ids that are `stride` apart: no server has a tenth more rows than the others on average. */
static void check_rows(uint64_t stride, int servers)
{
    int rows[MU_PS_SERVERS_MAX] = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        int server = mu_split_row(i * stride, servers);
        assert_in_range(server, 0, servers - 1);
        rows[server]++;
    }
    for (int k = 0; k < servers; k++)
        assert_true(rows[k] * (double)servers <= 1.1 * 100000);
}

static void rows_are_spread_whatever_their_ids_have_in_common(void **state)
{
    (void)state;
    const uint64_t strides[] = {1, 2, 3, 8, 10, 64, 100, 1000, 1024, 4096, 65536, 1000003,
        (uint64_t)1 << 32, (uint64_t)1 << 47, UINT64_MAX};
    const int servers[] = {1, 2, 3, 4, 7, 8, 16, 31, 32};
    for (size_t i = 0; i < MU_COUNT_OF(strides); i++)
        for (size_t k = 0; k < MU_COUNT_OF(servers); k++)
            check_rows(strides[i], servers[k]);
}

/* Checkpoints and other machines rely on these. */
static void a_row_stays_with_its_server(void **state)
{
    (void)state;
    const uint64_t ids[] = {0, 1, 2, 1000, UINT64_C(0x123456789abcdef), UINT64_MAX};
    const int expected[] = {9, 1, 5, 5, 8, 4};
    for (size_t i = 0; i < MU_COUNT_OF(ids); i++)
        assert_int_equal(mu_split_row(ids[i], 10), expected[i]);
}

static void check_ranges(uint64_t ids, int servers)
{
    const struct mu_row_split split = {.server_count = servers, .range_ids = ids};
    uint64_t first = 0, least = ids / (uint64_t)servers;
    for (int k = 0; k < servers; k++) {
        struct mu_id_range range = mu_row_split_range(&split, k);
        assert_true(range.first == first);
        assert_true(range.count == least || range.count == least + 1);
        first += range.count;
        if (range.count == 0)
            continue;
        assert_int_equal(mu_row_split_server(&split, range.first), k);
        assert_int_equal(mu_row_split_server(&split, range.first + range.count / 2), k);
        assert_int_equal(mu_row_split_server(&split, first - 1), k);
    }
    assert_true(first == ids);
    assert_int_equal(mu_row_split_server(&split, ids), servers - 1);
    assert_int_equal(mu_row_split_server(&split, UINT64_MAX), servers - 1);
}

static void ranges_follow_each_other_and_have_all_ids(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, 2, 63, 64, 1000, 1000003, (uint64_t)1 << 47, UINT64_MAX};
    const int servers[] = {1, 2, 3, 7, MU_PS_SERVERS_MAX};
    for (size_t i = 0; i < MU_COUNT_OF(ids); i++)
        for (size_t k = 0; k < MU_COUNT_OF(servers); k++)
            check_ranges(ids[i], servers[k]);
}

static void without_ranges_the_hash_splits(void **state)
{
    (void)state;
    const struct mu_row_split split = {.server_count = 10};
    for (uint64_t id = 0; id < 1000; id++)
        assert_int_equal(mu_row_split_server(&split, id), mu_split_row(id, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_cover_the_vector_and_differ_by_at_most_one_unit),
        cmocka_unit_test(an_odd_end_belongs_to_one_server),
        cmocka_unit_test(the_first_servers_have_the_larger_spans),
        cmocka_unit_test(rows_are_spread_whatever_their_ids_have_in_common),
        cmocka_unit_test(a_row_stays_with_its_server),
        cmocka_unit_test(ranges_follow_each_other_and_have_all_ids),
        cmocka_unit_test(without_ranges_the_hash_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
