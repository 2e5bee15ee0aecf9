/* SPDX-License-Identifier: Apache-2.0 */
#include "run_rig.h"

static void what_was_saved_is_loaded(void **state)
{
    run_rig_save(500, 3);
    assert_ok(run_rig_load(MU_CHECKPOINT_NEWEST));
    assert_true(run_rig_vectors_are_equal()); /* gaps too */
    const struct mu_manifest *manifest = &rig.loaded.manifest;
    assert_int_equal(manifest->step, 500);
    assert_int_equal(manifest->epoch, 3);
    assert_int_equal(manifest->samples_done, 32000);
    assert_true(manifest->seed == UINT64_MAX - 5);
    assert_true(manifest->job_hash == UINT64_C(0x8123456789abcdef));
    assert_int_equal(manifest->wall_ns, INT64_C(1763764801123000000));
    assert_string_equal(manifest->run, "7f3a");
    assert_int_equal(manifest->parameters_crc32c, mu_layout_crc32c_of(&rig.layout, rig.vector[0]));
    assert_string_equal(rig.log.text, "");
    mu_manifest_finish(&rig.loaded.manifest);
}

static void the_place_in_the_data_comes_back(void **state)
{
    run_rig_save(500, 3);
    assert_ok(run_rig_load(500));
    const struct mu_position *position = rig.loaded.manifest.positions;
    assert_int_equal(rig.loaded.manifest.position_count, 2);
    assert_int_equal(position[0].epoch, 3);
    assert_int_equal(position[0].stretch.replica_count, 4);
    assert_int_equal(position[0].stretch.batch, 64);
    assert_memory_equal(position[0].stretch.steps_done, rig.steps_done[0], 4 * sizeof(int64_t));
    assert_int_equal(position[1].epoch, 4);
    assert_int_equal(position[1].stretch.replica_count, 2);
    assert_memory_equal(position[1].stretch.steps_done, rig.steps_done[1], 2 * sizeof(int64_t));
    mu_manifest_finish(&rig.loaded.manifest);
}

static void an_optimizer_without_slots_is_saved_and_loaded(void **state)
{
    rig.snapshot.slot_count = 0;
    rig.snapshot.optimizer = "sgd";
    run_rig_save(1, 1);
    rig.loaded.target = (struct mu_checkpoint_target){.model = "mlp", .optimizer = "sgd"};
    assert_ok(run_rig_load(1));
    assert_memory_equal(
        rig.loaded.vector[0], rig.vector[0], rig.layout.element_count * sizeof(float));
    mu_manifest_finish(&rig.loaded.manifest);
}

static void only_the_newest_are_kept(void **state)
{
    int64_t numbers[8];
    for (int64_t step = 1; step <= 5; step++)
        run_rig_save(step, 2);
    assert_int_equal(rig.store->ops->list(rig.store, numbers, 8), 2);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(numbers[1], 5);
}

/* Resumed from 2 after 3 was damaged: 3 is of another history and must not count as kept. */
static void a_history_that_was_left_is_dropped(void **state)
{
    int64_t numbers[8];
    for (int64_t step = 1; step <= 3; step++)
        run_rig_save(step * 100, 2);
    run_rig_save(250, 2);
    assert_int_equal(rig.store->ops->list(rig.store, numbers, 8), 2);
    assert_int_equal(numbers[0], 200);
    assert_int_equal(numbers[1], 250);
}

static void an_evaluator_needs_no_optimizer(void **state)
{
    run_rig_save(500, 3);
    struct mu_checkpoint_target target = {
        .model = "mlp", .layout = &rig.layout, .parameters = rig.loaded.vector[0]};
    run_rig_flip(500, 1, 100); /* it does not even look */
    assert_ok(mu_checkpoint_read_for_eval(
        rig.store, rig.said, MU_CHECKPOINT_NEWEST, &target, &rig.loaded.manifest));
    assert_memory_equal(
        rig.loaded.vector[0], rig.vector[0], rig.layout.element_count * sizeof(float));
    mu_manifest_finish(&rig.loaded.manifest);
}

/* ---- a store with somebody else at work ---- */

/* Passes everything on to the store; before the first get the entry is dropped and another is put,
 * as by a writer that keeps one. */
static int busy_gets;

static size_t busy_list(struct mu_store *self, int64_t *ret_numbers, size_t most)
{
    return rig.store->ops->list(rig.store, ret_numbers, most);
}

static enum mu_status busy_get(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    if (busy_gets++ == 0)
        run_rig_save(600, 1);
    return rig.store->ops->get(rig.store, log, number, name, bytes_max, ret_data, ret_bytes);
}

static enum mu_status busy_open(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes)
{
    return rig.store->ops->open(rig.store, log, number, name, bytes_max, ret_open, ret_bytes);
}

static void busy_describe(struct mu_store *self, int64_t number, char *out, size_t bytes)
{
    rig.store->ops->describe(rig.store, number, out, bytes);
}

static enum mu_status refuse_drop(struct mu_store *self, struct mu_log *log, int64_t number)
{
    return MU_IO_ERROR;
}

static enum mu_status pass_put(struct mu_store *self, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    return rig.store->ops->put(rig.store, log, number, files, file_count);
}

static enum mu_status refuse_put(struct mu_store *self, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    return MU_IO_ERROR;
}

static void an_entry_dropped_while_it_is_read_is_no_damage(void **state)
{
    static const struct mu_store_ops ops = {
        .list = busy_list, .get = busy_get, .open = busy_open, .describe = busy_describe};
    struct mu_store busy = {.ops = &ops};
    run_rig_save(500, 1);
    busy_gets = 0;
    struct mu_checkpoint_target target = {
        .model = "mlp", .layout = &rig.layout, .parameters = rig.loaded.vector[0]};
    assert_ok(mu_checkpoint_read_for_eval(
        &busy, rig.said, MU_CHECKPOINT_NEWEST, &target, &rig.loaded.manifest));
    assert_int_equal(rig.loaded.manifest.step, 600);
    assert_string_equal(rig.log.text, "");
    mu_manifest_finish(&rig.loaded.manifest);
}

static void a_put_that_fails_drops_nothing(void **state)
{
    static const struct mu_store_ops ops = {
        .put = refuse_put, .list = busy_list, .drop = refuse_drop, .describe = busy_describe};
    struct mu_store refusing = {.ops = &ops};
    int64_t numbers[4];
    run_rig_save(400, 1);
    rig.snapshot.step = 500;
    assert_int_equal(mu_checkpoint_save(&refusing, rig.said, &rig.snapshot, 1), MU_IO_ERROR);
    assert_int_equal(rig.store->ops->list(rig.store, numbers, 4), 1);
    assert_int_equal(numbers[0], 400);
}

static void a_drop_that_fails_is_a_warning(void **state)
{
    static const struct mu_store_ops ops = {
        .put = pass_put, .list = busy_list, .drop = refuse_drop, .describe = busy_describe};
    struct mu_store refusing = {.ops = &ops};
    run_rig_save(400, 1);
    rig.snapshot.step = 500;
    assert_ok(mu_checkpoint_save(&refusing, rig.said, &rig.snapshot, 1));
    assert_said(&rig.log, "the old checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_RIG_CASE(what_was_saved_is_loaded),
        RUN_RIG_CASE(the_place_in_the_data_comes_back),
        RUN_RIG_CASE(an_optimizer_without_slots_is_saved_and_loaded),
        RUN_RIG_CASE(only_the_newest_are_kept),
        RUN_RIG_CASE(a_history_that_was_left_is_dropped),
        RUN_RIG_CASE(an_evaluator_needs_no_optimizer),
        RUN_RIG_CASE(an_entry_dropped_while_it_is_read_is_no_damage),
        RUN_RIG_CASE(a_put_that_fails_drops_nothing),
        RUN_RIG_CASE(a_drop_that_fails_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
