/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/pairwise_index.h"
#include "test.h"

#define RANKS_MAX 64

static void every_rank_meets_every_other_once_in_each_direction(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (int rank = 0; rank < ranks; rank++) {
            int sent[RANKS_MAX] = {0}, received[RANKS_MAX] = {0};
            for (int step = 1; step < ranks; step++) {
                sent[mu_pairwise_to(ranks, rank, step)]++;
                received[mu_pairwise_from(ranks, rank, step)]++;
            }
            for (int other = 0; other < ranks; other++) {
                assert_int_equal(sent[other], other != rank);
                assert_int_equal(received[other], other != rank);
            }
        }
}

static void whom_one_sends_to_receives_from_it_at_that_step(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= RANKS_MAX; ranks++)
        for (int rank = 0; rank < ranks; rank++)
            for (int step = 1; step < ranks; step++) {
                int to = mu_pairwise_to(ranks, rank, step);
                assert_int_equal(mu_pairwise_from(ranks, to, step), rank);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_meets_every_other_once_in_each_direction),
        cmocka_unit_test(whom_one_sends_to_receives_from_it_at_that_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
