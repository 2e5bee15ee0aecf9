/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/own_rows.h"
#include "test.h"

/* Of a model that is only a table, and an optimizer that is only its slots. */
#define WIDTH 2
#define SLOTS 2
#define STRIDE (WIDTH * (1 + SLOTS))
#define ROWS 40

static enum mu_status row_width(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, size_t *ret_width)
{
    *ret_width = WIDTH;
    return MU_OK;
}

static void init_row(
    const void *options, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)(seed + id + i);
}

static const struct mu_model_ops model = {.row_width = row_width, .init_row = init_row};
static const struct mu_model_ops dense;
static const struct mu_optimizer_ops optimizer = {.slot_count = SLOTS};
static const struct mu_dataset_facts facts = {.entry_max = 1};
static struct mu_test_log said;
static struct mu_job job;

static void open_rows(struct mu_own_rows *rows)
{
    job = (struct mu_job){.model = &model, .optimizer = &optimizer, .train.seed = 3};
    assert_ok(mu_own_rows_open(rows, &job, &facts, ROWS, mu_test_log_init(&said)));
}

/* A batch of one entry. */
static const float *bring(struct mu_own_rows *rows, uint64_t id)
{
    uint32_t first[] = {0, 1};
    float value = 1;
    struct mu_batch batch = {
        .row_count = 1, .entries = {.first = first, .id = &id, .value = &value}};
    assert_ok(mu_own_rows_bring(rows, &batch, &said.log));
    return batch.rows.value;
}

static void put(struct mu_own_rows *rows, uint64_t id)
{
    float row[STRIDE];
    for (size_t i = 0; i < STRIDE; i++)
        row[i] = (float)(id * 1000 + i);
    assert_ok(mu_own_rows_put(rows, id, row));
}

static void save(const struct mu_own_rows *rows, struct mu_saved_rows *saved)
{
    *saved = (struct mu_saved_rows){.width = WIDTH, .slot_count = SLOTS};
    assert_ok(mu_own_rows_save(rows, saved));
}

static void equal_tables_give_equal_copies_whatever_their_history(void **state)
{
    struct mu_own_rows up, down;
    struct mu_saved_rows saved_up, saved_down;
    open_rows(&up);
    open_rows(&down);
    for (uint64_t id = 1; id <= ROWS; id++) {
        put(&up, id * id);
        put(&down, (ROWS + 1 - id) * (ROWS + 1 - id));
    }
    save(&up, &saved_up);
    save(&down, &saved_down);
    assert_int_equal(saved_up.count, ROWS);
    assert_memory_equal(saved_up.ids, saved_down.ids, ROWS * sizeof(uint64_t));
    for (int i = 0; i <= SLOTS; i++)
        assert_memory_equal(
            saved_up.vectors[i], saved_down.vectors[i], ROWS * WIDTH * sizeof(float));
    mu_saved_rows_finish(&saved_up);
    mu_saved_rows_finish(&saved_down);
    mu_own_rows_close(&up);
    mu_own_rows_close(&down);
}

static void the_checksum_of_a_table_is_that_of_its_copy(void **state)
{
    struct mu_own_rows rows;
    struct mu_saved_rows saved;
    uint32_t crc = 77;
    open_rows(&rows);
    assert_ok(mu_own_rows_crc32c(&rows, &crc));
    assert_int_equal(crc, 77);
    for (uint64_t id = ROWS; id > 0; id--)
        put(&rows, id << 40 | 5);
    save(&rows, &saved);
    assert_ok(mu_own_rows_crc32c(&rows, &crc));
    assert_int_equal(crc, mu_saved_rows_crc32c(&saved, 77));
    mu_saved_rows_finish(&saved);
    mu_own_rows_close(&rows);
}

static void what_was_put_is_brought_and_what_was_cleared_is_fresh(void **state)
{
    struct mu_own_rows rows;
    open_rows(&rows);
    put(&rows, 8);
    assert_true(bring(&rows, 8)[1] == 8001);
    assert_ok(mu_own_rows_clear(&rows));
    assert_int_equal(mu_own_rows_count(&rows), 0);
    assert_true(bring(&rows, 8)[1] == 3 + 8 + 1);
    mu_own_rows_close(&rows);
}

static void who_evaluates_has_rows_without_slots(void **state)
{
    struct mu_own_rows rows;
    job = (struct mu_job){.model = &model, .optimizer = &optimizer};
    assert_ok(mu_own_rows_open_for_eval(&rows, &job, &facts, ROWS, mu_test_log_init(&said)));
    assert_int_equal(mu_table_stride(rows.table), WIDTH);
    mu_own_rows_close(&rows);
}

/* Whoever reads batches into the same place finds their rows, not those of the one before. */
static void a_batch_that_is_filled_anew_brings_its_own_rows(void **state)
{
    struct mu_own_rows rows;
    uint32_t first[] = {0, 2};
    uint64_t id[] = {3, 4};
    float value[] = {1, 1};
    struct mu_batch batch = {.row_count = 1, .entries = {.first = first, .id = id, .value = value}};
    open_rows(&rows);
    for (uint64_t i = 3; i <= 6; i++)
        put(&rows, i);
    assert_ok(mu_own_rows_bring(&rows, &batch, &said.log));
    assert_true(batch.rows.count == 2 && batch.rows.value[0] == 3000);
    id[0] = id[1] = 6;
    assert_ok(mu_own_rows_bring(&rows, &batch, &said.log));
    assert_int_equal(batch.rows.count, 1);
    assert_true(batch.rows.value[batch.rows.of_entry[1] * WIDTH] == 6000);
    id[0] = 5;
    assert_ok(mu_own_rows_look(&rows, &batch));
    assert_int_equal(batch.rows.count, 2);
    assert_true(batch.rows.value[batch.rows.of_entry[0] * WIDTH] == 5000);
    mu_own_rows_close(&rows);
}

static void a_batch_without_entries_touches_no_row(void **state)
{
    static const struct mu_dataset_facts numbers_alone = {.feature_count = 1};
    struct mu_own_rows rows;
    struct mu_batch batch = {.row_count = ROWS, .feature_count = 1};
    job = (struct mu_job){.model = &model, .optimizer = &optimizer};
    assert_ok(mu_own_rows_open(&rows, &job, &numbers_alone, ROWS, mu_test_log_init(&said)));
    assert_ok(mu_own_rows_bring(&rows, &batch, &said.log));
    assert_int_equal(batch.rows.count, 0);
    assert_ok(mu_own_rows_look(&rows, &batch));
    assert_int_equal(batch.rows.count, 0);
    assert_int_equal(mu_own_rows_count(&rows), 0);
    mu_own_rows_close(&rows);
}

static void without_a_table_there_is_nothing_to_clear_or_sum(void **state)
{
    struct mu_own_rows rows;
    uint32_t crc = 77;
    job = (struct mu_job){.model = &dense, .optimizer = &optimizer};
    assert_ok(mu_own_rows_open(&rows, &job, &facts, ROWS, mu_test_log_init(&said)));
    assert_ok(mu_own_rows_clear(&rows));
    assert_ok(mu_own_rows_crc32c(&rows, &crc));
    assert_int_equal(crc, 77);
    assert_int_equal(mu_own_rows_count(&rows), -1);
    mu_own_rows_close(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_tables_give_equal_copies_whatever_their_history),
        cmocka_unit_test(the_checksum_of_a_table_is_that_of_its_copy),
        cmocka_unit_test(what_was_put_is_brought_and_what_was_cleared_is_fresh),
        cmocka_unit_test(who_evaluates_has_rows_without_slots),
        cmocka_unit_test(a_batch_that_is_filled_anew_brings_its_own_rows),
        cmocka_unit_test(a_batch_without_entries_touches_no_row),
        cmocka_unit_test(without_a_table_there_is_nothing_to_clear_or_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
