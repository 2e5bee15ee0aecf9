/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_set.h"
#include "test.h"

#define ENTRIES 500

static uint64_t ids[ENTRIES];
static uint32_t of_entry[ENTRIES];

static void fill(uint64_t below)
{
    for (size_t i = 0; i < ENTRIES; i++)
        ids[i] = (i * i + 7 * i) % below * UINT64_C(0x100000001);
}

static void check(const struct mu_row_set *set, const struct mu_row_split *split, size_t count)
{
    assert_int_equal(set->first[0], 0);
    assert_int_equal(set->first[split->server_count], set->count);
    for (int s = 0; s < split->server_count; s++)
        for (size_t i = set->first[s]; i < set->first[s + 1]; i++)
            assert_int_equal(mu_row_split_server(split, set->id[i]), s);
    for (size_t i = 0; i < count; i++)
        assert_true(set->id[of_entry[i]] == ids[i]);
    for (size_t i = 0; i < set->count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(set->id[i] != set->id[j]);
}

static void each_id_is_there_once_and_those_of_a_server_together(void **state)
{
    (void)state;
    static const int servers[] = {1, 2, 3, 7, MU_PS_SERVERS_MAX};
    static const uint64_t belows[] = {1, 10, 100, 100000};
    struct mu_unique unique;
    struct mu_row_set set;
    assert_ok(mu_unique_init(&unique, ENTRIES));
    assert_ok(mu_row_set_init(&set, ENTRIES));
    for (size_t s = 0; s < MU_COUNT_OF(servers); s++)
        for (size_t b = 0; b < MU_COUNT_OF(belows); b++) {
            const struct mu_row_split splits[] = {
                {.server_count = servers[s]},
                {.server_count = servers[s], .range_ids = belows[b] * UINT64_C(0x100000001)},
            };
            fill(belows[b]);
            for (size_t k = 0; k < MU_COUNT_OF(splits); k++) {
                mu_row_set_find(&set, &unique, &splits[k], ids, ENTRIES, of_entry);
                check(&set, &splits[k], ENTRIES);
            }
        }
    mu_row_set_finish(&set);
    mu_unique_finish(&unique);
}

static void a_batch_without_entries_has_no_rows(void **state)
{
    (void)state;
    struct mu_unique unique;
    struct mu_row_set set;
    assert_ok(mu_unique_init(&unique, 0));
    assert_ok(mu_row_set_init(&set, 0));
    const struct mu_row_split split = {.server_count = 3};
    mu_row_set_find(&set, &unique, &split, NULL, 0, NULL);
    check(&set, &split, 0);
    mu_row_set_finish(&set);
    mu_unique_finish(&unique);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_id_is_there_once_and_those_of_a_server_together),
        cmocka_unit_test(a_batch_without_entries_has_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
