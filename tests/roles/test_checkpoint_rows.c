/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint.h"
#include "runtime/base/crc32c.h"
#include "runtime/tensor/layout.h"
#include "test.h"
#include <math.h>

/*
 * Checkpoints of a model with an embedding table: three rows of two parameters and two slots,
 * beside a dense vector and its slot.
 */
#define ROWS 3
#define WIDTH 2
#define STRIDE (WIDTH * 3)

static struct mu_test_log test_log;
static struct mu_log *test_said;
static struct mu_store *store;
static struct mu_layout layout;
static _Alignas(64) float dense[3][16];
static uint64_t ids[ROWS];
static float vectors[3][ROWS * WIDTH];
static struct mu_saved_rows rows;
static struct mu_snapshot snapshot;

static int make_run(void **state)
{
    test_said = mu_test_log_init(&test_log);
    mu_layout_init(&layout);
    if (!mu_layout_add(&layout, "bias", 1, (const int64_t[]){2}))
        return -1;
    memcpy(ids, (const uint64_t[]){3, 70, UINT64_C(1) << 63}, sizeof(ids));
    for (int v = 0; v < 3; v++)
        for (int i = 0; i < ROWS * WIDTH; i++)
            vectors[v][i] = (float)(100 * v + i);
    rows = (struct mu_saved_rows){.width = WIDTH,
        .slot_count = 2,
        .count = ROWS,
        .ids = ids,
        .vectors = {vectors[0], vectors[1], vectors[2]}};
    snapshot = (struct mu_snapshot){.run = "r",
        .model = "linear",
        .optimizer = "ftrl",
        .layout = &layout,
        .parameters = dense[0],
        .slot_count = 2,
        .slot_names = {"z", "n"},
        .slots = {dense[1], dense[2]},
        .rows = &rows};
    return mu_store_memory_open(&store) == MU_OK ? 0 : -1;
}

static int finish_run(void **state)
{
    store->ops->close(store);
    return 0;
}

static void save(int64_t step)
{
    snapshot.step = step;
    assert_ok(mu_checkpoint_save(store, test_said, &snapshot, 3));
}

/* What a target has taken. */
static struct taken {
    size_t count, stride;
    uint64_t ids[ROWS];
    float rows[ROWS][STRIDE];
    enum mu_status status; /* of the last row */
} taken;

static enum mu_status take(void *owner, uint64_t id, const float *row)
{
    assert_true(taken.count < ROWS);
    taken.ids[taken.count] = id;
    memcpy(taken.rows[taken.count++], row, taken.stride * sizeof(float));
    return taken.count == ROWS ? taken.status : MU_OK;
}

static struct mu_checkpoint_target target_of(size_t width)
{
    static _Alignas(64) float loaded[3][16];
    return (struct mu_checkpoint_target){.model = "linear",
        .optimizer = "ftrl",
        .layout = &layout,
        .parameters = loaded[0],
        .slot_count = 2,
        .slot_names = {"z", "n"},
        .slots = {loaded[1], loaded[2]},
        .row_width = width,
        .rows = {.put = take}};
}

static enum mu_status load_as(int64_t step, const struct mu_checkpoint_target *target)
{
    struct mu_manifest manifest;
    taken.count = 0;
    taken.stride = STRIDE;
    enum mu_status status = mu_checkpoint_load(store, test_said, step, target, &manifest);
    if (status == MU_OK)
        mu_manifest_finish(&manifest);
    return status;
}

static enum mu_status load(int64_t step)
{
    struct mu_checkpoint_target target = target_of(WIDTH);
    return load_as(step, &target);
}

static void expect_all_rows(void)
{
    assert_int_equal(taken.count, ROWS);
    assert_memory_equal(taken.ids, ids, sizeof(ids));
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < STRIDE; i++)
            assert_true(taken.rows[r][i] == vectors[i / WIDTH][r * WIDTH + i % WIDTH]);
}

static void rows_come_back_with_their_slots_in_the_order_of_ids(void **state)
{
    save(5);
    assert_ok(load(5));
    expect_all_rows();
    assert_string_equal(test_log.text, "");
}

static void the_checksum_of_the_parameters_covers_ids_and_rows(void **state)
{
    struct mu_manifest manifest;
    uint32_t crc = mu_layout_crc32c_of(&layout, dense[0]);
    crc = mu_crc32c(crc, ids, sizeof(ids));
    crc = mu_crc32c(crc, vectors[0], sizeof(vectors[0]));
    save(5);
    assert_ok(mu_checkpoint_verify(store, test_said, 5, &manifest));
    assert_int_equal(manifest.parameters_crc32c, crc);
    assert_int_equal(manifest.file_count, 3);
    const struct mu_manifest_file *file = mu_manifest_file(&manifest, MU_CHECKPOINT_EMBEDDING);
    assert_int_equal(file->tensor_count, 4);
    assert_string_equal(file->tensors[0].name, "embedding.ids");
    assert_string_equal(file->tensors[1].name, "embedding.n");
    assert_string_equal(file->tensors[2].name, "embedding.rows");
    assert_string_equal(file->tensors[3].name, "embedding.z");
    mu_manifest_finish(&manifest);
}

static void a_model_without_a_table_has_no_such_file(void **state)
{
    struct mu_manifest manifest;
    struct mu_checkpoint_target target = target_of(0);
    snapshot.rows = NULL;
    save(5);
    assert_ok(mu_checkpoint_verify(store, test_said, 5, &manifest));
    assert_int_equal(manifest.file_count, 2);
    mu_manifest_finish(&manifest);
    assert_ok(load_as(5, &target));
    assert_int_equal(taken.count, 0);
}

static void a_table_without_rows_is_saved_and_loaded(void **state)
{
    rows = (struct mu_saved_rows){.width = WIDTH, .slot_count = 2};
    save(5);
    assert_ok(load(5));
    assert_int_equal(taken.count, 0);
}

static void an_evaluator_takes_rows_without_slots(void **state)
{
    struct mu_manifest manifest;
    struct mu_checkpoint_target target = target_of(WIDTH);
    target.slot_count = 0;
    taken = (struct taken){.stride = WIDTH};
    save(5);
    assert_ok(mu_checkpoint_read_for_eval(store, test_said, 5, &target, &manifest));
    mu_manifest_finish(&manifest);
    assert_int_equal(taken.count, ROWS);
    for (int r = 0; r < ROWS; r++)
        assert_memory_equal(taken.rows[r], &vectors[0][r * WIDTH], WIDTH * sizeof(float));
}

/* ---- of another model ---- */

static void expect_difference(enum mu_status status, const char *line)
{
    assert_int_equal(status, MU_BAD_DATA);
    assert_said(&test_log, "error[E0602]");
    assert_said(&test_log, line);
    assert_int_equal(taken.count, 0);
}

static void another_width_is_shown_in_the_table(void **state)
{
    struct mu_checkpoint_target target = target_of(WIDTH + 3);
    save(5);
    expect_difference(load_as(5, &target), "embedding.rows       expected Nx5 F32, found 3x2 F32");
    assert_said(&test_log, "embedding.n          expected Nx5 F32, found 3x2 F32");
    assert_null(strstr(test_log.text, "embedding.ids"));
}

static void a_table_that_is_missing_is_shown_in_the_table(void **state)
{
    snapshot.rows = NULL;
    save(5);
    expect_difference(load(5), "embedding.ids        expected N I64, found nothing");
    assert_said(&test_log, "embedding.rows       expected Nx2 F32, found nothing");
}

static void a_table_for_which_there_is_no_use_is_shown_in_the_table(void **state)
{
    struct mu_checkpoint_target target = target_of(0);
    save(5);
    expect_difference(load_as(5, &target), "embedding.ids        expected nothing, found 3 I64");
    assert_said(&test_log, "embedding.rows       expected nothing, found 3x2 F32");
}

static void another_slot_is_shown_in_the_table(void **state)
{
    struct mu_checkpoint_target target = target_of(WIDTH);
    save(5);
    mu_layout_init(&layout); /* no dense tensors, which would be seen first */
    save(6);
    target.slot_names[1] = "square";
    expect_difference(load_as(6, &target), "embedding.square     expected Nx2 F32, found nothing");
    assert_said(&test_log, "embedding.n          expected nothing, found 3x2 F32");
}

/* ---- damage ---- */

static void expect_damage(int64_t step, const char *reason)
{
    assert_int_equal(load(step), MU_BAD_DATA);
    assert_int_equal(test_said->first_number, 601);
    assert_said(&test_log, reason);
    assert_int_equal(taken.count, 0);
    test_said = mu_test_log_init(&test_log);
}

#define FILES 4
static const char *const file_names[FILES] = {
    MU_CHECKPOINT_MODEL, MU_CHECKPOINT_OPTIMIZER, MU_CHECKPOINT_EMBEDDING, MU_MANIFEST_NAME};

/* Puts the entry again with one of its files as given; NULL leaves it out. */
static void replace(int64_t step, const char *name, const void *data, size_t bytes)
{
    void *kept[FILES];
    struct mu_store_piece pieces[FILES];
    struct mu_store_file files[FILES] = {0};
    size_t count = 0;
    for (int i = 0; i < FILES; i++) {
        size_t kept_bytes;
        assert_ok(
            store->ops->get(store, test_said, step, file_names[i], 1 << 20, &kept[i], &kept_bytes));
        bool is_it = strcmp(name, file_names[i]) == 0;
        if (is_it && !data)
            continue;
        pieces[i] = is_it ? (struct mu_store_piece){data, bytes}
                          : (struct mu_store_piece){kept[i], kept_bytes};
        files[count] = (struct mu_store_file){.pieces = &pieces[i], .piece_count = 1};
        strcpy(files[count++].name, file_names[i]);
    }
    assert_ok(store->ops->put(store, test_said, step, files, count));
    for (int i = 0; i < FILES; i++)
        free(kept[i]);
}

static void flip(int64_t step, size_t bit)
{
    void *data;
    size_t bytes;
    assert_ok(
        store->ops->get(store, test_said, step, MU_CHECKPOINT_EMBEDDING, 1 << 20, &data, &bytes));
    ((unsigned char *)data)[bit / 8] ^= (unsigned char)(1U << bit % 8);
    replace(step, MU_CHECKPOINT_EMBEDDING, data, bytes);
    free(data);
}

static void any_flipped_bit_is_found_before_a_row_is_given(void **state)
{
    struct mu_manifest manifest;
    save(5);
    assert_ok(mu_checkpoint_verify(store, test_said, 5, &manifest));
    size_t bytes = mu_manifest_file(&manifest, MU_CHECKPOINT_EMBEDDING)->bytes;
    mu_manifest_finish(&manifest);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        flip(5, bit);
        expect_damage(5, MU_CHECKPOINT_EMBEDDING);
        flip(5, bit);
    }
    assert_ok(load(5));
}

static void a_missing_file_is_damage(void **state)
{
    save(5);
    replace(5, MU_CHECKPOINT_EMBEDDING, NULL, 0);
    expect_damage(5, "embedding.safetensors is missing");
}

static void a_damaged_table_falls_back_to_the_entry_before(void **state)
{
    struct mu_manifest manifest;
    save(5);
    vectors[0][0] = 99;
    save(6);
    vectors[0][0] = 0;
    assert_ok(mu_checkpoint_verify(store, test_said, 6, &manifest));
    size_t bytes = mu_manifest_file(&manifest, MU_CHECKPOINT_EMBEDDING)->bytes;
    mu_manifest_finish(&manifest);
    flip(6, 8 * bytes - 1);
    assert_ok(load(MU_CHECKPOINT_NEWEST));
    expect_all_rows();
    assert_said(&test_log, "crc mismatch in `embedding.z`");
    assert_said(&test_log, "fell back to the checkpoint of step 5");
}

static void ids_that_do_not_increase_are_damage(void **state)
{
    ids[2] = ids[1];
    save(5);
    expect_damage(5, "id 70 of row 2 does not come after the one before");
    ids[2] = 4;
    save(5);
    expect_damage(5, "id 4 of row 2 does not come after the one before");
}

static void what_is_no_number_is_damage(void **state)
{
    vectors[0][3] = INFINITY;
    save(5);
    expect_damage(5, "`embedding.rows` has inf for id 70");
    vectors[0][3] = 0;
    vectors[2][4] = NAN;
    save(5);
    expect_damage(5, "`embedding.n` has ");
}

/* Every checksum agrees, but the file has a row fewer in one tensor. */
static void as_many_rows_as_ids_are_needed(void **state)
{
    struct mu_manifest manifest;
    struct mu_text file, text;
    struct mu_safetensor_source sources[] = {
        {"embedding.ids", MU_SAFETENSORS_I64, 1, {ROWS}, ids},
        {"embedding.n", MU_SAFETENSORS_F32, 2, {ROWS, WIDTH}, vectors[2]},
        {"embedding.rows", MU_SAFETENSORS_F32, 2, {ROWS - 1, WIDTH}, vectors[0]},
        {"embedding.z", MU_SAFETENSORS_F32, 2, {ROWS, WIDTH}, vectors[1]},
    };
    save(5);
    assert_ok(mu_checkpoint_verify(store, test_said, 5, &manifest));
    struct mu_manifest_file *entry = &manifest.files[2];
    assert_string_equal(entry->name, MU_CHECKPOINT_EMBEDDING);
    mu_text_init(&file);
    mu_text_init(&text);
    assert_ok(mu_safetensors_header(sources, 4, NULL, &file));
    for (int i = 0; i < 4; i++) {
        size_t bytes = mu_safetensors_source_bytes(&sources[i]);
        mu_text_append(&file, sources[i].data, bytes);
        entry->tensors[i].crc32c = mu_crc32c(0, sources[i].data, bytes);
    }
    entry->bytes = file.bytes;
    entry->crc32c = mu_crc32c(0, file.data, file.bytes);
    mu_manifest_write(&manifest, &text);
    replace(5, MU_CHECKPOINT_EMBEDDING, file.data, file.bytes);
    replace(5, MU_MANIFEST_NAME, text.data, text.bytes);
    expect_damage(5, "3 ids, but 2 rows in `embedding.rows`");
    mu_manifest_finish(&manifest);
    mu_text_finish(&file);
    mu_text_finish(&text);
}

/* ---- who takes the rows fails ---- */

static void no_memory_for_a_row_is_said(void **state)
{
    save(4);
    save(5);
    taken.status = MU_NO_MEMORY;
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_NO_MEMORY);
    assert_said(&test_log, "error[E0801]: no memory for the 3 rows of");
    assert_int_equal(taken.count, ROWS); /* the entry before needs no less */
    taken.status = MU_OK;
}

static void what_else_taking_a_row_returns_is_passed_on(void **state)
{
    save(4);
    save(5);
    taken.status = MU_UNAVAILABLE;
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_UNAVAILABLE);
    assert_string_equal(test_log.text, "");
    taken.status = MU_OK;
}

/* ---- a disk that fails ---- */

static int reads_left; /* of open files, before the one that fails */

struct failing_file {
    struct mu_store_open head, *inside;
};

static enum mu_status failing_read(
    struct mu_store_open *open, struct mu_log *log, uint64_t at, void *data, size_t bytes)
{
    const struct failing_file *file = (struct failing_file *)open;
    if (reads_left-- == 0)
        return mu_fail(log, MU_E0605, NULL, "cannot read: the disk is gone");
    return file->inside->ops->read(file->inside, log, at, data, bytes);
}

static void failing_close(struct mu_store_open *open)
{
    struct failing_file *file = (struct failing_file *)open;
    file->inside->ops->close(file->inside);
    free(file);
}

static struct mu_store *whole;

static enum mu_status failing_open(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes)
{
    static const struct mu_store_open_ops ops = {.read = failing_read, .close = failing_close};
    struct failing_file *file = calloc(1, sizeof(*file));
    file->head.ops = &ops;
    assert_ok(whole->ops->open(whole, log, number, name, bytes_max, &file->inside, ret_bytes));
    *ret_open = &file->head;
    return MU_OK;
}

static enum mu_status failing_get(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    return whole->ops->get(whole, log, number, name, bytes_max, ret_data, ret_bytes);
}

static size_t failing_list(struct mu_store *self, int64_t *ret_numbers, size_t most)
{
    return whole->ops->list(whole, ret_numbers, most);
}

static void failing_describe(struct mu_store *self, int64_t number, char *out, size_t bytes)
{
    whole->ops->describe(whole, number, out, bytes);
}

/* At each read of the newest entry: it may be whole, and is not given up for the one before. */
static void what_cannot_be_read_is_no_damage(void **state)
{
    static const struct mu_store_ops ops = {.list = failing_list,
        .get = failing_get,
        .open = failing_open,
        .describe = failing_describe};
    struct mu_store failing = {&ops};
    int failed = 0;
    enum mu_status status = MU_BUG;
    save(4);
    save(5);
    whole = store;
    for (int fail_at = 0;; fail_at++) {
        test_said = mu_test_log_init(&test_log);
        reads_left = fail_at;
        store = &failing;
        status = load(MU_CHECKPOINT_NEWEST);
        store = whole;
        if (reads_left >= 0)
            break;
        assert_said(&test_log, "cannot read: the disk is gone");
        assert_null(strstr(test_log.text, "fell back"));
        assert_int_equal(status, MU_IO_ERROR);
        failed++;
    }
    assert_ok(status);
    expect_all_rows();
    assert_int_equal(failed, 2 + 3 + 1 + 4 + 4); /* the last: ids, parameters, slots */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_run, finish_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rows_come_back_with_their_slots_in_the_order_of_ids),
        CASE(the_checksum_of_the_parameters_covers_ids_and_rows),
        CASE(a_model_without_a_table_has_no_such_file),
        CASE(a_table_without_rows_is_saved_and_loaded),
        CASE(an_evaluator_takes_rows_without_slots),
        CASE(another_width_is_shown_in_the_table),
        CASE(a_table_that_is_missing_is_shown_in_the_table),
        CASE(a_table_for_which_there_is_no_use_is_shown_in_the_table),
        CASE(another_slot_is_shown_in_the_table),
        CASE(any_flipped_bit_is_found_before_a_row_is_given),
        CASE(a_missing_file_is_damage),
        CASE(a_damaged_table_falls_back_to_the_entry_before),
        CASE(ids_that_do_not_increase_are_damage),
        CASE(what_is_no_number_is_damage),
        CASE(as_many_rows_as_ids_are_needed),
        CASE(no_memory_for_a_row_is_said),
        CASE(what_else_taking_a_row_returns_is_passed_on),
        CASE(what_cannot_be_read_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
