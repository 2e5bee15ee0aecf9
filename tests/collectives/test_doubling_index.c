/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/doubling_index.h"
#include "test.h"

#define RANKS_MAX 64

static void rounds_and_core_fit_every_rank_count_to_64(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        int rounds = mu_doubling_rounds(ranks), core = mu_doubling_core(ranks);
        assert_true(1 << rounds >= ranks);
        assert_true(rounds == 0 || 1 << (rounds - 1) < ranks);
        assert_true(core <= ranks && 2 * core > ranks);
        assert_int_equal(core & (core - 1), 0);
    }
}

static void what_one_gives_another_fetches(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= RANKS_MAX; ranks++)
        for (int rank = 0; rank < ranks; rank++)
            for (int round = 0; round < mu_doubling_rounds(ranks); round++) {
                struct mu_doubling_round here = mu_doubling_round(ranks, rank, round);
                struct mu_doubling_round there = mu_doubling_round(ranks, here.to, round);
                assert_int_equal(there.from, rank);
                assert_int_equal(there.moves, here.moves);
                assert_true(here.to != rank);
            }
}

static void every_rank_ends_with_every_part_once(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (int rank = 0; rank < ranks; rank++) {
            int has = 1; /* itself, rank + 1, ... */
            for (int round = 0; round < mu_doubling_rounds(ranks); round++) {
                struct mu_doubling_round here = mu_doubling_round(ranks, rank, round);
                assert_int_equal(here.has, has);
                assert_int_equal(here.from, (rank + has) % ranks);
                assert_true(here.moves <= has);
                has += here.moves;
            }
            assert_int_equal(has, ranks);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_and_core_fit_every_rank_count_to_64),
        cmocka_unit_test(what_one_gives_another_fetches),
        cmocka_unit_test(every_rank_ends_with_every_part_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
