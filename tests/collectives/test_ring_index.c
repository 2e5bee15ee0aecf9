/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring_index.h"
#include "test.h"

#define RANKS_MAX 64

static void chunks_cover_the_vector_for_every_rank_count_to_64(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        for (size_t count = 0; count <= 200; count++) {
            size_t next = 0, least = SIZE_MAX, most = 0;
            for (int c = 0; c < ranks; c++) {
                struct mu_span chunk = mu_ring_chunk(count, ranks, c);
                assert_int_equal(chunk.first, next);
                next += chunk.count;
                least = chunk.count < least ? chunk.count : least;
                most = chunk.count > most ? chunk.count : most;
            }
            assert_int_equal(next, count);
            assert_true(most - least <= 1);
        }
    }
}

static const struct {
    enum mu_request_kind kind;
    bool canonical;
} plans[] = {
    {MU_ALLREDUCE, true},
    {MU_ALLREDUCE, false},
    {MU_REDUCE_SCATTER, true},
    {MU_REDUCE_SCATTER, false},
    {MU_ALLGATHER, true},
    {MU_BROADCAST, true},
};
#define PLAN_COUNT (sizeof(plans) / sizeof(plans[0]))

static void what_one_sends_its_neighbour_receives_and_sends_next(void **state)
{
    (void)state;
    for (size_t p = 0; p < PLAN_COUNT; p++)
        for (int ranks = 2; ranks <= RANKS_MAX; ranks++)
            for (int rank = 0; rank < ranks; rank++) {
                struct mu_ring_plan here =
                    mu_ring_plan(plans[p].kind, plans[p].canonical, ranks, rank);
                struct mu_ring_plan right =
                    mu_ring_plan(plans[p].kind, plans[p].canonical, ranks, (rank + 1) % ranks);
                for (int step = 0; step < here.steps; step++) {
                    assert_int_equal(mu_ring_sends(&here, step), mu_ring_receives(&right, step));
                    if (step + 1 < here.steps)
                        assert_int_equal(
                            mu_ring_receives(&here, step), mu_ring_sends(&here, step + 1));
                }
            }
}

static void rounds_go_on_where_the_last_one_ended(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 50; count++)
        for (size_t round = 1; round <= 50; round++) {
            struct mu_ring_plan plan = mu_ring_plan(MU_ALLREDUCE, true, 3, 1);
            plan.rounds = mu_ring_rounds(count, round);
            size_t next = 7;
            for (int r = 0; r < plan.rounds; r++) {
                const struct mu_span chunk = {7, count};
                struct mu_span part = mu_ring_part(&plan, chunk, r * plan.steps);
                assert_int_equal(part.first, next);
                assert_true(part.count <= round);
                next += part.count;
                for (int step = 0; step < plan.steps; step++) {
                    int on = r * plan.steps + step;
                    assert_int_equal(mu_ring_sends(&plan, on), mu_ring_sends(&plan, step));
                    assert_int_equal(mu_ring_receives(&plan, on), mu_ring_receives(&plan, step));
                    assert_int_equal(mu_ring_adds(&plan, on), step < plan.adding_steps);
                    assert_int_equal(mu_ring_part(&plan, chunk, on).first, part.first);
                }
            }
            assert_int_equal(next, 7 + count);
        }
    assert_int_equal(mu_ring_rounds(SIZE_MAX, 1), MU_RING_ROUNDS_MAX);
    assert_int_equal(mu_ring_rounds(10, 0), 1);
}

/* Plays a plan with lists of ranks for sums: (rank, chunk) -> which ranks are in it, in order. */
struct sum {
    int first, terms; /* ranks first, first + 1, ... */
};

static struct sum board[RANKS_MAX][RANKS_MAX];

static void play(enum mu_request_kind kind, bool canonical, int ranks)
{
    struct mu_ring_plan plan[RANKS_MAX] = {0};
    for (int r = 0; r < ranks; r++) {
        plan[r] = mu_ring_plan(kind, canonical, ranks, r);
        for (int c = 0; c < ranks; c++)
            board[r][c] = (struct sum){r, 1};
    }
    for (int step = 0; step < plan[0].steps; step++) {
        struct sum moved[RANKS_MAX];
        for (int r = 0; r < ranks; r++)
            moved[r] = board[r][mu_ring_sends(&plan[r], step)];
        for (int r = 0; r < ranks; r++) {
            struct sum *here = &board[r][mu_ring_receives(&plan[r], step)];
            struct sum came = moved[(r + ranks - 1) % ranks];
            if (step < plan[r].adding_steps) {
                /* The next rank in order, once. */
                assert_int_equal((came.first + came.terms) % ranks, r);
                assert_int_equal(here->terms, 1);
                came.terms++;
            }
            *here = came;
        }
    }
}

static void every_sum_ends_whole_and_in_order(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (int canonical = 0; canonical < 2; canonical++) {
            play(MU_ALLREDUCE, canonical, ranks);
            for (int r = 0; r < ranks; r++)
                for (int c = 0; c < ranks; c++) {
                    assert_int_equal(board[r][c].terms, ranks);
                    assert_int_equal(board[r][c].first, ranks == 1 ? 0 : c);
                }
            play(MU_REDUCE_SCATTER, canonical, ranks);
            for (int r = 0; r < ranks; r++) {
                assert_int_equal(board[r][r].terms, ranks);
                if (canonical)
                    assert_int_equal(board[r][r].first, r);
            }
        }
}

static void every_part_is_gathered_everywhere(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        play(MU_ALLGATHER, false, ranks);
        for (int r = 0; r < ranks; r++)
            for (int c = 0; c < ranks; c++)
                assert_int_equal(board[r][c].first, c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_cover_the_vector_for_every_rank_count_to_64),
        cmocka_unit_test(what_one_sends_its_neighbour_receives_and_sends_next),
        cmocka_unit_test(rounds_go_on_where_the_last_one_ended),
        cmocka_unit_test(every_sum_ends_whole_and_in_order),
        cmocka_unit_test(every_part_is_gathered_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
