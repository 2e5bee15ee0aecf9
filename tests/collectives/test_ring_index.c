/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring_index.h"
#include "test.h"

static void chunks_cover_the_vector_for_every_rank_count_to_64(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 64; ranks++) {
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

static void what_one_sends_its_neighbour_receives(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 64; ranks++)
        for (int rank = 0; rank < ranks; rank++)
            for (int step = 0; step < ranks - 1; step++) {
                int right = (rank + 1) % ranks;
                assert_int_equal(mu_ring_reduce_sends(rank, ranks, step),
                    mu_ring_reduce_receives(right, ranks, step));
                assert_int_equal(mu_ring_gather_sends(rank, ranks, step),
                    mu_ring_gather_receives(right, ranks, step));
            }
}

static void segments_cover_a_chunk(void **state)
{
    (void)state;
    for (size_t count = 0; count < 40; count++) {
        struct mu_span chunk = {.first = 5, .count = count};
        size_t next = 5, segments = mu_ring_segments(count, 7);
        for (size_t i = 0; i < segments; i++) {
            struct mu_span segment = mu_ring_segment(chunk, 7, i);
            assert_int_equal(segment.first, next);
            assert_true(segment.count > 0 && segment.count <= 7);
            next += segment.count;
        }
        assert_int_equal(next, 5 + count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_cover_the_vector_for_every_rank_count_to_64),
        cmocka_unit_test(what_one_sends_its_neighbour_receives),
        cmocka_unit_test(segments_cover_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
