/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/tensor/unique.h"
#include "runtime/base/random.h"
#include "test.h"

#define ENTRIES 2000

/* Against looking through all ids before. */
static void check(struct mu_unique *unique, const uint64_t *ids, size_t count)
{
    static uint32_t of_entry[ENTRIES];
    static uint64_t expected[ENTRIES];
    size_t different = 0;
    mu_unique_find(unique, ids, count, of_entry);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < different && expected[at] != ids[i])
            at++;
        if (at == different)
            expected[different++] = ids[i];
        assert_int_equal(of_entry[i], at);
    }
    assert_int_equal(unique->count, different);
    if (different > 0)
        assert_memory_equal(unique->id, expected, different * sizeof(uint64_t));
}

static void ids_keep_the_order_in_which_they_first_occur(void **state)
{
    (void)state;
    static uint64_t ids[ENTRIES];
    struct mu_unique unique;
    struct mu_random random;
    mu_random_init(&random, 1);
    assert_ok(mu_unique_init(&unique, ENTRIES));
    for (int batch = 0; batch < 150; batch++) {
        size_t count = mu_random_below(&random, ENTRIES + 1);
        uint64_t bound = 1 + mu_random_below(&random, 2 * ENTRIES);
        int shift = (int)mu_random_below(&random, 50);
        for (size_t i = 0; i < count; i++)
            ids[i] = mu_random_below(&random, bound) << shift;
        check(&unique, ids, count);
    }
    mu_unique_finish(&unique);
}

static void all_ids_may_differ(void **state)
{
    (void)state;
    static uint64_t ids[ENTRIES];
    struct mu_unique unique;
    assert_ok(mu_unique_init(&unique, ENTRIES));
    for (size_t i = 0; i < ENTRIES; i++)
        ids[i] = UINT64_MAX - i;
    check(&unique, ids, ENTRIES);
    check(&unique, ids, 0);
    mu_unique_finish(&unique);
}

static void one_id_that_comes_twice_is_found_wherever_it_is(void **state)
{
    (void)state;
    static uint64_t ids[ENTRIES];
    struct mu_unique unique;
    struct mu_random random;
    mu_random_init(&random, 2);
    assert_ok(mu_unique_init(&unique, ENTRIES));
    assert_true(mu_unique_are(&unique, ids, 0));
    for (int batch = 0; batch < 300; batch++) {
        size_t count = 2 + mu_random_below(&random, ENTRIES - 1);
        for (size_t i = 0; i < count; i++)
            ids[i] = (uint64_t)i << batch % 50;
        assert_true(mu_unique_are(&unique, ids, count));
        size_t later = 1 + mu_random_below(&random, count - 1);
        ids[later] = ids[mu_random_below(&random, later)];
        assert_false(mu_unique_are(&unique, ids, count));
    }
    mu_unique_finish(&unique);
}

static void a_batch_of_nothing_is_no_special_case(void **state)
{
    (void)state;
    struct mu_unique unique;
    assert_ok(mu_unique_init(&unique, 0));
    check(&unique, NULL, 0);
    mu_unique_finish(&unique);
    mu_unique_finish(&unique);
}

static void generations_may_run_out(void **state)
{
    (void)state;
    const uint64_t ids[] = {0, 5, 5, 0, 9};
    struct mu_unique unique;
    assert_ok(mu_unique_init(&unique, 5));
    check(&unique, ids, 5); /* leaves cells of generation 1 */
    unique.generation = UINT32_MAX;
    check(&unique, ids + 1, 4);
    assert_int_equal(unique.generation, 1);
    check(&unique, ids, 2);
    mu_unique_finish(&unique);
}

static void too_many_entries_are_refused(void **state)
{
    (void)state;
    struct mu_unique unique;
    assert_int_equal(mu_unique_init(&unique, (size_t)1 << 40), MU_NO_MEMORY);
    mu_unique_finish(&unique);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_keep_the_order_in_which_they_first_occur),
        cmocka_unit_test(all_ids_may_differ),
        cmocka_unit_test(a_batch_of_nothing_is_no_special_case),
        cmocka_unit_test(one_id_that_comes_twice_is_found_wherever_it_is),
        cmocka_unit_test(generations_may_run_out),
        cmocka_unit_test(too_many_entries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
