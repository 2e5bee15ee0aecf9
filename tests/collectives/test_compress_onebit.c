/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

static void begin(struct compress_rig *rig, int64_t elements, const char *block, int ranks)
{
    struct mu_layout layout;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "x", 1, &elements));
    compress_rig_begin(rig, "onebit", (const char *const[]){block, NULL}, ranks, &layout);
}

static void four_kinds(struct compress_replica *replica, int64_t step)
{
    static const float kind[] = {3, 1, -2, -6};
    (void)step;
    for (size_t i = 0; i < replica->rig->layout.view[0].span.count; i++)
        replica->data[i] = kind[i % 4] * (i < 64 ? 1 : 100) * (i < 128 ? 1 : 0);
}

static void signs_stand_for_the_means_of_their_block(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, 192, "block=64", 1);
    rig.gradient = four_kinds;
    compress_rig_run(&rig, 1);
    static const float level[] = {2, 2, -4, -4}, left[] = {1, -1, 2, -2};
    for (size_t i = 0; i < 192; i++) {
        float scale = i < 64 ? 1 : i < 128 ? 100 : 0; /* a block of zeros stays so */
        assert_true(rig.replica[0].data[i] == level[i % 4] * scale);
        assert_true(rig.replica[0].residual[i] == left[i % 4] * scale);
    }
    compress_rig_end(&rig);
}

static void a_block_does_not_reach_into_the_next_tensor(void **state)
{
    (void)state;
    struct mu_layout layout;
    struct compress_rig rig;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "x", 1, (int64_t[]){64}));
    assert_true(mu_layout_add(&layout, "y", 1, (int64_t[]){64}));
    compress_rig_begin(&rig, "onebit", (const char *const[]){"block=1000", NULL}, 1, &layout);
    rig.gradient = four_kinds;
    compress_rig_run(&rig, 1);
    assert_true(rig.replica[0].data[0] == 2 && rig.replica[0].data[2] == -4);
    compress_rig_end(&rig);
}

static void a_bit_for_an_element_and_two_floats_for_a_block(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, 10000, "block=1024", 3);
    compress_rig_run(&rig, 1);
    /* 9 whole blocks and one of 784 elements, in words of 32 bits; to each of two others. */
    assert_int_equal(rig.replica[0].sent_bytes, 2 * (9 * (8 + 128) + 8 + 100));
    compress_rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_stand_for_the_means_of_their_block),
        cmocka_unit_test(a_block_does_not_reach_into_the_next_tensor),
        cmocka_unit_test(a_bit_for_an_element_and_two_floats_for_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
