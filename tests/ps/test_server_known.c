/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_known.h"
#include "runtime/base/random.h"
#include "test.h"

#define PLACES 500

/* A place as nobody else has it. */
static void add(struct mu_ps_known *known, uint64_t place)
{
    const struct mu_ps_verdict_body verdict = {
        .worker = (int)(place % 7), .version = (int64_t)mu_random_mix(1, place)};
    mu_ps_known_add(known, 10 * place, &verdict);
}

static void check(const struct mu_ps_known *known, uint64_t place)
{
    const struct mu_ps_known_place *found = mu_ps_known_at(known, place);
    assert_int_equal(found->tag, 10 * place);
    assert_int_equal(found->verdict.worker, place % 7);
    assert_int_equal(found->verdict.version, mu_random_mix(1, place));
}

/* The oracle is the whole order, which `add` can say again. */
static void the_last_places_are_known_and_no_others(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 40; capacity += 13) {
        struct mu_ps_known known;
        assert_ok(mu_ps_known_init(&known, capacity));
        for (uint64_t next = 0; next < PLACES; next++) {
            assert_int_equal(known.next, next);
            for (uint64_t place = 0; place <= next; place++)
                assert_int_equal(mu_ps_known_since(&known, place), place + capacity >= next);
            for (uint64_t place = next; place > 0 && place + capacity > next; place--)
                check(&known, place - 1);
            add(&known, next);
        }
        mu_ps_known_finish(&known);
    }
}

static void what_is_still_to_come_is_not_known(void **state)
{
    (void)state;
    struct mu_ps_known known;
    assert_ok(mu_ps_known_init(&known, 4));
    assert_true(mu_ps_known_since(&known, 0));
    assert_false(mu_ps_known_since(&known, 1));
    assert_false(mu_ps_known_since(&known, UINT64_MAX));
    add(&known, 0);
    assert_true(mu_ps_known_since(&known, 1));
    assert_false(mu_ps_known_since(&known, 2));
    assert_false(mu_ps_known_since(&known, UINT64_MAX));
    mu_ps_known_finish(&known);
}

static void where_nobody_asks_places_are_only_counted(void **state)
{
    (void)state;
    struct mu_ps_known known = {0};
    for (uint64_t place = 0; place < 3; place++)
        add(&known, place);
    assert_int_equal(known.next, 3);
    assert_true(mu_ps_known_since(&known, 3));
    assert_false(mu_ps_known_since(&known, 2));
    mu_ps_known_finish(&known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_places_are_known_and_no_others),
        cmocka_unit_test(what_is_still_to_come_is_not_known),
        cmocka_unit_test(where_nobody_asks_places_are_only_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
