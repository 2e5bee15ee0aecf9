/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/halving_index.h"
#include "test.h"

#define RANKS_MAX 64

static void what_one_gives_its_peer_keeps(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= RANKS_MAX; ranks *= 2)
        for (int rank = 0; rank < ranks; rank++)
            for (int distance = ranks / 2; distance > 0; distance /= 2) {
                struct mu_halving_step here = mu_halving_step(rank, distance);
                struct mu_halving_step there = mu_halving_step(here.peer, distance);
                assert_int_equal(there.peer, rank);
                assert_int_equal(here.sent.first, there.kept.first);
                assert_int_equal(here.sent.count, there.kept.count);
            }
}

/* Bit r of sum[rank][part]: rank r's numbers are in it. */
static uint64_t sum[RANKS_MAX][RANKS_MAX];

static void play_step(int ranks, int distance)
{
    static uint64_t before[RANKS_MAX][RANKS_MAX];
    memcpy(before, sum, sizeof(sum));
    for (int rank = 0; rank < ranks; rank++) {
        struct mu_halving_step step = mu_halving_step(rank, distance);
        for (int p = step.kept.first; p < step.kept.first + step.kept.count; p++) {
            assert_int_equal(before[rank][p] & before[step.peer][p], 0);
            sum[rank][p] |= before[step.peer][p];
        }
    }
}

static void every_rank_ends_with_the_sum_of_its_part_each_rank_in_it_once(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks *= 2) {
        for (int rank = 0; rank < ranks; rank++)
            for (int p = 0; p < ranks; p++)
                sum[rank][p] = UINT64_C(1) << rank;
        for (int distance = ranks / 2; distance > 0; distance /= 2)
            play_step(ranks, distance);
        for (int rank = 0; rank < ranks; rank++)
            assert_true(sum[rank][rank] == UINT64_MAX >> (64 - ranks));
    }
}

static void only_powers_of_two_fit(void **state)
{
    (void)state;
    int fits = 0;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        fits += mu_halving_fits(ranks);
    assert_int_equal(fits, 7);
    assert_true(mu_halving_fits(32));
    assert_false(mu_halving_fits(48));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_gives_its_peer_keeps),
        cmocka_unit_test(every_rank_ends_with_the_sum_of_its_part_each_rank_in_it_once),
        cmocka_unit_test(only_powers_of_two_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
