/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

#include <math.h>

#define ROWS 40
#define COLUMNS 32

static void begin(struct compress_rig *rig, const char *rank, int ranks)
{
    struct mu_layout layout;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "w", 2, (int64_t[]){ROWS, COLUMNS}));
    assert_true(mu_layout_add(&layout, "b", 1, (int64_t[]){COLUMNS}));
    compress_rig_begin(rig, "powersgd", (const char *const[]){rank, NULL}, ranks, &layout);
}

static size_t bias_at(const struct compress_rig *rig)
{
    return rig->layout.view[1].span.first;
}

static float outer(int rank, size_t i)
{
    double row = (double)(i / COLUMNS), column = (double)(i % COLUMNS);
    return (float)(sin(row * (rank + 1)) * cos(column * (rank + 2)));
}

/* Each replica has a matrix of rank one, and a vector. */
static void outer_products(struct compress_replica *replica, int64_t step)
{
    compress_rig_random(replica, step);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        replica->data[i] = outer(replica->group.rank, i);
}

static double worst(const struct compress_rig *rig, int ranks)
{
    double most = 0;
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        double sum = 0;
        for (int r = 0; r < ranks; r++)
            sum += (double)outer(r, i);
        most = fmax(most, fabs(sum - (double)rig->replica[0].data[i]));
    }
    return most;
}

static void a_sum_of_the_rank_comes_out_whole(void **state)
{
    (void)state;
    static const char *const ranks[] = {"rank=2", "rank=4"}; /* just enough, and more */
    for (int i = 0; i < 2; i++) {
        struct compress_rig rig;
        begin(&rig, ranks[i], 2);
        rig.gradient = outer_products;
        for (int step = 0; step < 3; step++) {
            compress_rig_run(&rig, 1);
            assert_true(worst(&rig, 2) < 1e-5);
        }
        compress_rig_end(&rig);
    }
}

static void the_largest_direction_is_found_from_step_to_step(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "rank=1", 2);
    rig.gradient = outer_products;
    compress_rig_run(&rig, 1);
    assert_true(worst(&rig, 2) > 1e-2);
    compress_rig_run(&rig, 100);
    double off = 0;
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        off = fmax(
            off, fabs(rig.replica[0].total[i] / 101 - (double)outer(0, i) - (double)outer(1, i)));
    assert_true(off < 0.05);
    compress_rig_end(&rig);
}

static void vectors_go_as_they_are(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "rank=2", 2);
    compress_rig_run(&rig, 1);
    size_t first = bias_at(&rig);
    for (size_t i = first; i < first + COLUMNS; i++)
        assert_true(rig.replica[0].data[i] == compress_rig_value(&rig.layout, 0, 0, i) +
                                                  compress_rig_value(&rig.layout, 1, 0, i));
    compress_rig_end(&rig);
}

static void two_thin_matrices_and_the_rest_are_sent(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "rank=2", 2);
    compress_rig_run(&rig, 1);
    assert_int_equal(rig.replica[0].sent_bytes, (2 * (ROWS + COLUMNS) + COLUMNS) * sizeof(float));
    compress_rig_end(&rig);
}

static void what_would_not_become_half_as_long_goes_as_it_is(void **state)
{
    (void)state;
    struct compress_rig rig;
    size_t count = 1;
    begin(&rig, "rank=16", 2);
    compress_rig_run(&rig, 1);
    assert_int_equal(rig.replica[0].sent_bytes, rig.layout.element_count * sizeof(float));
    assert_non_null(rig.ops->shared_state(rig.replica[0].state, &count));
    assert_int_equal(count, 0);
    compress_rig_end(&rig);
}

static void a_cut_matrix_is_one_of_its_whole_rows(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "rank=1", 2);
    size_t cut = 20 * COLUMNS + 7, count = rig.layout.element_count;
    rig.bucket[0] = (struct mu_span){cut, count - cut};
    rig.bucket[1] = (struct mu_span){0, cut};
    rig.bucket_count = 2;
    compress_rig_run(&rig, 2);
    size_t above = 20 + COLUMNS + 7, below = 19 + COLUMNS + (COLUMNS - 7) + COLUMNS;
    assert_int_equal(rig.replica[0].sent_bytes, 2 * (above + below) * sizeof(float));
    compress_rig_end(&rig);
}

static void q_is_equal_on_all_replicas(void **state)
{
    (void)state;
    struct compress_rig rig;
    size_t count = 0;
    begin(&rig, "rank=2", 3);
    compress_rig_run(&rig, 3);
    const float *first = rig.ops->shared_state(rig.replica[0].state, &count);
    assert_int_equal(count, 2 * COLUMNS);
    for (int r = 1; r < 3; r++)
        assert_memory_equal(
            rig.ops->shared_state(rig.replica[r].state, &count), first, count * sizeof(*first));
    compress_rig_end(&rig);
}

/* With the mean of all instead of its own Q, a replica would keep what it differs by for ever. */
static void unequal(struct compress_replica *replica, int64_t step)
{
    (void)step;
    memset(replica->data, 0, replica->rig->layout.element_count * sizeof(float));
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        replica->data[i] = outer(0, i) * (replica->group.rank == 0 ? 3 : -1);
}

static void what_replicas_differ_by_does_not_pile_up(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "rank=2", 2);
    rig.gradient = unequal;
    compress_rig_run(&rig, 200);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        assert_true(fabsf(rig.replica[0].residual[i]) < 1e-3f);
    compress_rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_of_the_rank_comes_out_whole),
        cmocka_unit_test(the_largest_direction_is_found_from_step_to_step),
        cmocka_unit_test(vectors_go_as_they_are),
        cmocka_unit_test(two_thin_matrices_and_the_rest_are_sent),
        cmocka_unit_test(what_would_not_become_half_as_long_goes_as_it_is),
        cmocka_unit_test(a_cut_matrix_is_one_of_its_whole_rows),
        cmocka_unit_test(q_is_equal_on_all_replicas),
        cmocka_unit_test(what_replicas_differ_by_does_not_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
