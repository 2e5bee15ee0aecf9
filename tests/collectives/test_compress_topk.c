/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

#include <math.h>

#define ELEMENTS 1600

static void vector_layout(struct mu_layout *layout)
{
    mu_layout_init(layout);
    assert_true(mu_layout_add(layout, "x", 1, (int64_t[]){ELEMENTS}));
}

static void begin(struct compress_rig *rig, const char *name, const char *const sets[], int ranks)
{
    struct mu_layout layout;
    vector_layout(&layout);
    compress_rig_begin(rig, name, sets, ranks, &layout);
}

/* Grows with the index on rank 0, falls on rank 1; both have equal elements. */
static void slopes(struct compress_replica *replica, int64_t step)
{
    (void)step;
    for (size_t i = 0; i < ELEMENTS; i++) {
        size_t height = replica->group.rank == 0 ? i : ELEMENTS - 1 - i;
        replica->data[i] = (float)(height / 2) * (i % 2 ? -1 : 1);
    }
}

static void the_largest_of_each_replica_are_summed(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "topk", (const char *const[]){"density=0.01", NULL}, 2);
    rig.gradient = slopes;
    compress_rig_run(&rig, 1);
    for (size_t i = 0; i < ELEMENTS; i++) {
        bool sent = i < 16 || i >= ELEMENTS - 16;
        size_t height = i < 16 ? ELEMENTS - 1 - i : i;
        assert_true(
            rig.replica[1].data[i] == (sent ? (float)(height / 2) * (i % 2 ? -1 : 1) : 0.0f));
        assert_true((rig.replica[0].residual[i] != 0) == (i >= 2 && i < ELEMENTS - 16));
    }
    compress_rig_end(&rig);
}

static void all_equal(struct compress_replica *replica, int64_t step)
{
    (void)step;
    for (size_t i = 0; i < ELEMENTS; i++)
        replica->data[i] = i % 2 ? -1 : 1;
}

static void of_equals_the_first_go_first(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "topk", (const char *const[]){"density=0.25", NULL}, 1);
    rig.gradient = all_equal;
    compress_rig_run(&rig, 1);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true((rig.replica[0].data[i] != 0) == (i < ELEMENTS / 4));
    compress_rig_end(&rig);
}

static void one_in_a_hundred_with_its_index_is_two_percent_of_the_bytes(void **state)
{
    (void)state;
    struct compress_rig dense, sparse;
    begin(&dense, "none", NULL, 2);
    begin(&sparse, "topk", (const char *const[]){"density=0.01", NULL}, 2);
    compress_rig_run(&dense, 3);
    compress_rig_run(&sparse, 3);
    assert_int_equal(dense.replica[0].sent_bytes, 3 * ELEMENTS * sizeof(float));
    assert_int_equal(sparse.replica[0].sent_bytes, dense.replica[0].sent_bytes / 50);
    compress_rig_end(&dense);
    compress_rig_end(&sparse);
}

static void of_one_element_one_is_sent(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, "topk", (const char *const[]){"density=0.000001", NULL}, 3);
    rig.bucket[0] = (struct mu_span){5, 1};
    compress_rig_run(&rig, 1);
    float sum = 0;
    for (int r = 0; r < 3; r++)
        sum += compress_rig_value(&rig.layout, r, 0, 5);
    assert_true(rig.replica[2].data[5] == sum);
    compress_rig_end(&rig);
}

static void mostly_no_numbers(struct compress_replica *replica, int64_t step)
{
    static const float bad[] = {INFINITY, NAN, -INFINITY, 1};
    (void)step;
    for (size_t i = 0; i < ELEMENTS; i++)
        replica->data[i] = bad[i % 4];
}

static void no_numbers_that_are_too_many_to_send_are_not_kept(void **state)
{
    (void)state;
    static const char *const densities[] = {"density=0.01", "density=0.5"}; /* NaN alone; more */
    for (int d = 0; d < 2; d++) {
        struct compress_rig rig;
        begin(&rig, "topk", (const char *const[]){densities[d], NULL}, 1);
        rig.gradient = mostly_no_numbers;
        compress_rig_run(&rig, 1);
        assert_true(isnan(rig.replica[0].data[1]));
        for (size_t i = 0; i < ELEMENTS; i++)
            assert_true(rig.replica[0].residual[i] == (i % 4 == 3 ? 1 : 0));
        compress_rig_end(&rig);
    }
}

static size_t count_sent(struct compress_rig *rig)
{
    size_t sent = 0;
    compress_rig_run(rig, 1);
    for (size_t i = 0; i < ELEMENTS; i++)
        sent += rig->replica[0].data[i] != 0;
    return sent;
}

static void density_comes_down_in_quarters(void **state)
{
    (void)state;
    static const size_t expected[] = {400, 400, 100, 100, 25, 25, 16, 16, 16};
    for (int d = 0; d < 2; d++) {
        struct compress_rig rig;
        begin(&rig, d ? "randomk" : "topk",
            (const char *const[]){"density=0.01", "warmup_steps=8", NULL}, 1);
        for (size_t step = 0; step < sizeof(expected) / sizeof(expected[0]); step++)
            assert_int_equal(count_sent(&rig), expected[step]);
        compress_rig_end(&rig);
    }
}

static void a_gradient_too_long_for_32_bits_is_refused(void **state)
{
    (void)state;
    struct compress_rig rig;
    void *never = NULL;
    begin(&rig, "topk", NULL, 1);
    rig.layout.element_count = (size_t)1 << 32;
    assert_int_equal(rig.ops->open(rig.options, &rig.layout, 1, &rig.replica[0].group,
                         rig.replica[0].residual, &never),
        MU_CONFIG);
    assert_non_null(strstr(rig.replica[0].group.error, "4294967296"));
    assert_null(never);
    compress_rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_of_each_replica_are_summed),
        cmocka_unit_test(of_equals_the_first_go_first),
        cmocka_unit_test(one_in_a_hundred_with_its_index_is_two_percent_of_the_bytes),
        cmocka_unit_test(of_one_element_one_is_sent),
        cmocka_unit_test(no_numbers_that_are_too_many_to_send_are_not_kept),
        cmocka_unit_test(density_comes_down_in_quarters),
        cmocka_unit_test(a_gradient_too_long_for_32_bits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
