/* SPDX-License-Identifier: Apache-2.0 */
#include "compress_rig.h"

#define ELEMENTS 1600
#define SENT 160

static void begin(struct compress_rig *rig, int ranks)
{
    struct mu_layout layout;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "x", 1, (int64_t[]){ELEMENTS}));
    compress_rig_begin(rig, "randomk", (const char *const[]){"density=0.1", NULL}, ranks, &layout);
}

static void ones(struct compress_replica *replica, int64_t step)
{
    (void)step;
    for (size_t i = 0; i < ELEMENTS; i++)
        replica->data[i] = 1;
}

static void replicas_draw_the_same_elements(void **state)
{
    (void)state;
    struct compress_rig rig;
    begin(&rig, 3);
    rig.gradient = ones;
    compress_rig_run(&rig, 1);
    size_t sent = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        float sum = rig.replica[0].data[i];
        assert_true(sum == 0 || sum == 3);
        assert_true(rig.replica[1].residual[i] == (sum == 0 ? 1 : 0));
        sent += sum != 0;
    }
    assert_int_equal(sent, SENT);
    /* Values alone: 2 (n-1)/n of them. */
    assert_int_equal(rig.replica[0].sent_bytes, 2 * 2 * SENT * sizeof(float) / 3);
    compress_rig_end(&rig);
}

static void each_step_draws_others_and_every_element_has_its_turn(void **state)
{
    (void)state;
    struct compress_rig rig;
    size_t drawn[ELEMENTS] = {0}, again = 0;
    begin(&rig, 1);
    rig.gradient = ones;
    for (int step = 0; step < 200; step++) {
        compress_rig_run(&rig, 1);
        for (size_t i = 0; i < ELEMENTS; i++) {
            drawn[i] += rig.replica[0].data[i] != 0;
            again += step == 1 && rig.replica[0].data[i] == 1;
        }
    }
    assert_in_range(again, 1, SENT / 2); /* of those drawn in the first step; 16 are expected */
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_in_range(drawn[i], 4, 45); /* 20 of 200 */
    compress_rig_end(&rig);
}

static void buckets_draw_apart(void **state)
{
    (void)state;
    struct compress_rig rig;
    size_t alike = 0;
    begin(&rig, 1);
    rig.gradient = ones;
    compress_rig_cut(&rig, 2);
    compress_rig_run(&rig, 1);
    for (size_t i = 0; i < ELEMENTS / 2; i++)
        alike += rig.replica[0].data[i] != 0 && rig.replica[0].data[i + ELEMENTS / 2] != 0;
    assert_in_range(alike, 0, SENT / 4); /* of 80, 8 are expected */
    compress_rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_draw_the_same_elements),
        cmocka_unit_test(each_step_draws_others_and_every_element_has_its_turn),
        cmocka_unit_test(buckets_draw_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
