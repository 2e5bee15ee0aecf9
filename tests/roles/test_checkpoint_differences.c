/* SPDX-License-Identifier: Apache-2.0 */
#include "run_rig.h"

static void another_shape_is_shown_in_a_table(void **state)
{
    struct mu_layout wider;
    run_rig_save(400, 3);
    run_rig_save(500, 3);
    run_rig_make_layout(&wider, 8);
    rig.loaded.target = (struct mu_checkpoint_target){.model = "mlp",
        .optimizer = "adam",
        .slot_count = 2,
        .slot_names = {"m", "v"},
        .layout = &wider};
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&rig.log, "error[E0602]");
    assert_said(&rig.log, "dense1/w             expected 8x5 F32, found 7x5 F32");
    assert_null(strstr(rig.log.text, "dense1/b"));
    assert_null(strstr(rig.log.text, "passed over")); /* older ones are of the same run */
}

static void missing_and_surplus_tensors_are_in_the_table(void **state)
{
    struct mu_layout other;
    run_rig_save(500, 3);
    mu_layout_init(&other);
    assert_true(mu_layout_add(&other, "dense1/w", 2, (const int64_t[]){7, 5}));
    assert_true(mu_layout_add(&other, "dense2/w", 1, (const int64_t[]){3}));
    rig.loaded.target =
        (struct mu_checkpoint_target){.model = "mlp", .optimizer = "sgd", .layout = &other};
    assert_int_equal(run_rig_load(500), MU_BAD_DATA);
    assert_said(&rig.log, "dense2/w             expected 3 F32, found nothing");
    assert_said(&rig.log, "dense1/b             expected nothing, found 5 F32");
    assert_said(&rig.log, "scale                expected nothing, found scalar F32");
}

static void another_kind_is_named(void **state)
{
    run_rig_save(500, 3);
    rig.loaded.target = (struct mu_checkpoint_target){.model = "softmax", .optimizer = "adam"};
    assert_int_equal(run_rig_load(500), MU_BAD_DATA);
    assert_said(&rig.log, "another model: expected `softmax`, found `mlp`");
    rig.loaded.target = (struct mu_checkpoint_target){
        .model = "mlp", .optimizer = "momentum", .slot_count = 1, .slot_names = {"momentum"}};
    assert_int_equal(run_rig_load(500), MU_BAD_DATA);
    assert_said(&rig.log, "another optimizer: expected `momentum`, found `adam`");
    assert_said(&rig.log, "momentum/dense1/w    expected 7x5 F32, found nothing");
    assert_said(&rig.log, "m/dense1/w           expected nothing, found 7x5 F32");
}

static void an_older_one_that_is_ours_is_taken_for_a_newer_one_that_is_not(void **state)
{
    run_rig_save(400, 3);
    rig.snapshot.optimizer = "adamw";
    run_rig_save(500, 3);
    run_rig_save(600, 3);
    assert_ok(run_rig_load(MU_CHECKPOINT_NEWEST));
    assert_int_equal(rig.loaded.manifest.step, 400);
    assert_said(&rig.log, "checkpoint of another job passed over, which the next save drops: ");
    assert_said(&rig.log, "600/optimizer.safetensors is of another optimizer: expected `adam`");
    assert_said(&rig.log, "fell back to the checkpoint of step 400");
    assert_null(strstr(rig.log.text, "error["));
    mu_manifest_finish(&rig.loaded.manifest);
}

static void of_several_that_are_not_ours_the_newest_is_refused(void **state)
{
    run_rig_save(400, 3);
    run_rig_save(500, 3);
    rig.loaded.target = (struct mu_checkpoint_target){
        .model = "mlp", .optimizer = "adamw", .slot_count = 2, .slot_names = {"m", "v"}};
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&rig.log, "500/optimizer.safetensors is of another optimizer");
    assert_null(strstr(rig.log.text, "400/"));
    assert_null(strstr(rig.log.text, "passed over"));
}

static void a_damaged_one_below_it_is_said_and_the_newest_is_refused(void **state)
{
    run_rig_save(400, 3);
    run_rig_flip(400, 0, 8 * run_rig_header_bytes(400, 0) + 3);
    rig.snapshot.optimizer = "adamw";
    run_rig_save(500, 3);
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&rig.log, "damaged checkpoint passed over: ");
    assert_said(&rig.log, "500/optimizer.safetensors is of another optimizer");
    const char *error = strstr(rig.log.text, "error[");
    assert_non_null(error);
    assert_null(strstr(error + 1, "error["));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_RIG_CASE(another_shape_is_shown_in_a_table),
        RUN_RIG_CASE(missing_and_surplus_tensors_are_in_the_table),
        RUN_RIG_CASE(another_kind_is_named),
        RUN_RIG_CASE(an_older_one_that_is_ours_is_taken_for_a_newer_one_that_is_not),
        RUN_RIG_CASE(of_several_that_are_not_ours_the_newest_is_refused),
        RUN_RIG_CASE(a_damaged_one_below_it_is_said_and_the_newest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
