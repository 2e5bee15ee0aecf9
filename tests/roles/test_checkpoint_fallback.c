/* SPDX-License-Identifier: Apache-2.0 */
#include "run_rig.h"

/* Those of step 500 differ in everything, and one file of them is damaged. */
static void save_two(int damaged_file)
{
    run_rig_save(400, 3);
    run_rig_fill_vectors(2);
    run_rig_save(500, 3);
    run_rig_fill_vectors(1);
    run_rig_flip(500, damaged_file, 8 * run_rig_header_bytes(500, damaged_file) + 3);
}

static void a_damaged_newest_falls_back_and_says_so(void **state)
{
    save_two(0);
    assert_ok(run_rig_load(MU_CHECKPOINT_NEWEST));
    assert_int_equal(rig.loaded.manifest.step, 400);
    assert_true(run_rig_vectors_are_equal());
    assert_said(&rig.log, "passed over: ");
    assert_said(&rig.log, "crc mismatch in `");
    assert_said(&rig.log, "fell back to the checkpoint of step 400");
    assert_int_equal(rig.said->first_number, 0); /* warnings, no error */
    mu_manifest_finish(&rig.loaded.manifest);
}

static void a_damaged_optimizer_falls_back_whole(void **state)
{
    save_two(1);
    assert_ok(run_rig_load(MU_CHECKPOINT_NEWEST));
    assert_true(run_rig_vectors_are_equal()); /* nothing of 500 is left in them */
    mu_manifest_finish(&rig.loaded.manifest);
}

static void when_none_is_whole_there_is_one_error(void **state)
{
    run_rig_save(400, 3);
    run_rig_save(500, 3);
    run_rig_flip(400, 0, 100);
    run_rig_flip(500, 0, 100);
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_int_equal(rig.said->first_number, 601);
    char *first = strstr(rig.log.text, "error[");
    assert_non_null(first);
    assert_null(strstr(first + 1, "error["));
    assert_said(&rig.log, "none of the 2 checkpoints is whole; the oldest: ");
    assert_said(&rig.log, "= help: begin again in another directory: --out DIR");
}

static struct mu_store *behind;
static int64_t refused_from; /* this entry and all after it, but what is damaged */
static int64_t damaged = -1;

static size_t refuse_list(struct mu_store *self, int64_t *ret_numbers, size_t count_max)
{
    return behind->ops->list(behind, ret_numbers, count_max);
}

static void refuse_describe(struct mu_store *self, int64_t number, char *out, size_t bytes)
{
    behind->ops->describe(behind, number, out, bytes);
}

static enum mu_status refuse_get(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    if (number < refused_from || number == damaged)
        return behind->ops->get(behind, log, number, name, bytes_max, ret_data, ret_bytes);
    return mu_fail(log, MU_E0605, NULL, "cannot open %s: Permission denied", name);
}

static enum mu_status refuse_open(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes)
{
    return behind->ops->open(behind, log, number, name, bytes_max, ret_open, ret_bytes);
}

static void save_both(void)
{
    run_rig_save(400, 3);
    run_rig_save(500, 3);
}

static enum mu_status load_parameters(int64_t step)
{
    const struct mu_checkpoint_target target = {
        .model = "mlp", .layout = &rig.layout, .parameters = rig.loaded.vector[0]};
    return mu_checkpoint_read_for_eval(rig.store, rig.said, step, &target, &rig.loaded.manifest);
}

/* Of 400 and 500 those from `from` on cannot be read. */
static enum mu_status load_refused(int64_t from, enum mu_status (*load)(int64_t step))
{
    static const struct mu_store_ops ops = {
        .list = refuse_list, .get = refuse_get, .open = refuse_open, .describe = refuse_describe};
    struct mu_store refusing = {.ops = &ops};
    behind = rig.store;
    refused_from = from;
    rig.store = &refusing;
    enum mu_status status = load(MU_CHECKPOINT_NEWEST);
    rig.store = behind;
    return status;
}

/* It may be whole, and what goes on from the one before it would drop it. */
static void nothing_older_is_taken_for_what_cannot_be_read(void **state)
{
    save_both();
    assert_int_equal(load_refused(500, run_rig_load), MU_IO_ERROR);
    assert_int_equal(rig.said->first_number, 605);
    assert_said(&rig.log, "checkpoint 500 cannot be read, and may be whole: cannot open ");
    assert_null(strstr(rig.log.text, "damaged"));
    assert_null(strstr(rig.log.text, "passed over"));
}

static void nor_below_one_that_is_damaged(void **state)
{
    save_both();
    run_rig_flip(500, 0, 100);
    damaged = 500;
    assert_int_equal(load_refused(400, run_rig_load), MU_IO_ERROR);
    damaged = -1;
    assert_said(&rig.log, "damaged checkpoint passed over: ");
    assert_said(&rig.log, "checkpoint 400 cannot be read, and may be whole: cannot open ");
}

/* Who only reads drops nothing. */
static void an_evaluator_takes_the_one_before_it(void **state)
{
    save_both();
    assert_ok(load_refused(500, load_parameters));
    assert_int_equal(rig.loaded.manifest.step, 400);
    assert_said(&rig.log, "unreadable checkpoint passed over: cannot open ");
    assert_said(&rig.log, "fell back to the checkpoint of step 400");
    mu_manifest_finish(&rig.loaded.manifest);
}

/* To begin anew is not what is offered, and the launcher may try again. */
static void what_cannot_be_read_is_not_called_damaged(void **state)
{
    save_both();
    assert_int_equal(load_refused(400, load_parameters), MU_IO_ERROR);
    assert_int_equal(rig.said->first_number, 605);
    assert_said(&rig.log, "unreadable checkpoint passed over: cannot open ");
    assert_said(&rig.log, "2 of the 2 checkpoints cannot be read, and none is whole; the oldest: ");
    assert_null(strstr(rig.log.text, "damaged"));
    assert_null(strstr(rig.log.text, "begin again"));
}

static void a_step_asked_for_is_not_replaced_by_another(void **state)
{
    run_rig_save(400, 3);
    run_rig_save(500, 3);
    run_rig_flip(500, 0, 100);
    assert_int_equal(run_rig_load(500), MU_BAD_DATA);
    assert_int_equal(run_rig_load(450), MU_NO_INPUT);
    assert_said(&rig.log, "E0603");
}

static void without_a_checkpoint_input_is_missing(void **state)
{
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_NO_INPUT);
    assert_said(&rig.log, "error[E0603]: there is no checkpoint in");
    assert_said(&rig.log, "`ls -la ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_RIG_CASE(a_damaged_newest_falls_back_and_says_so),
        RUN_RIG_CASE(a_damaged_optimizer_falls_back_whole),
        RUN_RIG_CASE(when_none_is_whole_there_is_one_error),
        RUN_RIG_CASE(nothing_older_is_taken_for_what_cannot_be_read),
        RUN_RIG_CASE(nor_below_one_that_is_damaged),
        RUN_RIG_CASE(an_evaluator_takes_the_one_before_it),
        RUN_RIG_CASE(what_cannot_be_read_is_not_called_damaged),
        RUN_RIG_CASE(a_step_asked_for_is_not_replaced_by_another),
        RUN_RIG_CASE(without_a_checkpoint_input_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
