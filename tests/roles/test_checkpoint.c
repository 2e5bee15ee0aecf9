/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint.h"
#include "runtime/base/random.h"
#include "runtime/tensor/layout.h"
#include "test.h"

#define VECTORS 3 /* the parameters and two slots */
#define ELEMENTS_MAX 512

/* A run that has something to save: a small network and an optimizer with two slots. */
struct run {
    struct mu_layout layout;
    _Alignas(64) float vector[VECTORS][ELEMENTS_MAX];
    int64_t steps_done[2][4];
    struct mu_position positions[2];
    struct mu_snapshot snapshot;
};

static struct mu_test_log test_log;
static struct mu_log *test_said;
static struct mu_store *store;
static struct run run;

static void make_layout(struct mu_layout *layout, int64_t inputs)
{
    mu_layout_init(layout);
    assert_true(mu_layout_add(layout, "dense1/w", 2, (const int64_t[]){inputs, 5}));
    assert_true(mu_layout_add(layout, "dense1/b", 1, (const int64_t[]){5}));
    assert_true(mu_layout_add(layout, "scale", 0, NULL));
    assert_in_range(layout->element_count, 1, ELEMENTS_MAX);
}

static void fill_vectors(uint64_t seed)
{
    for (int v = 0; v < VECTORS; v++) {
        memset(run.vector[v], 0, sizeof(run.vector[v]));
        for (int i = 0; i < run.layout.view_count; i++) {
            struct mu_span span = run.layout.view[i].span;
            for (size_t e = span.first; e < span.first + span.count; e++)
                run.vector[v][e] = (float)(mu_random_mix(seed + (uint64_t)v, e) % 1000) + 0.5f;
        }
    }
}

static int make_run(void **state)
{
    test_said = mu_test_log_init(&test_log);
    make_layout(&run.layout, 7);
    fill_vectors(1);
    for (int i = 0; i < 4; i++) {
        run.steps_done[0][i] = 10 + i;
        run.steps_done[1][i] = i;
    }
    run.positions[0] = (struct mu_position){3, {4, 64, run.steps_done[0]}};
    run.positions[1] = (struct mu_position){4, {2, 32, run.steps_done[1]}};
    run.snapshot = (struct mu_snapshot){.step = 500,
        .epoch = 3,
        .samples_done = 32000,
        .seed = UINT64_MAX - 5,
        .job_hash = UINT64_C(0x8123456789abcdef),
        .wall_ns = INT64_C(1763764801123000000),
        .run = "7f3a",
        .model = "mlp",
        .optimizer = "adam",
        .positions = run.positions,
        .position_count = 2,
        .layout = &run.layout,
        .parameters = run.vector[0],
        .slot_count = 2,
        .slot_names = {"m", "v"},
        .slots = {run.vector[1], run.vector[2]}};
    return mu_store_memory_open(&store) == MU_OK ? 0 : -1;
}

static int finish_run(void **state)
{
    store->ops->close(store);
    return 0;
}

static void save(int64_t step, int keep)
{
    run.snapshot.step = step;
    assert_ok(mu_checkpoint_save(store, test_said, &run.snapshot, keep));
}

/* What a resumed run has before it loads: vectors full of something else. */
static struct loaded {
    _Alignas(64) float vector[VECTORS][ELEMENTS_MAX];
    struct mu_checkpoint_target target;
    struct mu_manifest manifest;
} loaded;

static enum mu_status load(int64_t step)
{
    memset(loaded.vector, 0x55, sizeof(loaded.vector));
    if (!loaded.target.model)
        loaded.target = (struct mu_checkpoint_target){
            .model = "mlp", .optimizer = "adam", .slot_count = 2, .slot_names = {"m", "v"}};
    loaded.target.layout = loaded.target.layout ? loaded.target.layout : &run.layout;
    loaded.target.parameters = loaded.vector[0];
    loaded.target.slots[0] = loaded.vector[1];
    loaded.target.slots[1] = loaded.vector[2];
    enum mu_status status =
        mu_checkpoint_load(store, test_said, step, &loaded.target, &loaded.manifest);
    memset(&loaded.target, 0, sizeof(loaded.target));
    return status;
}

static bool vectors_are_equal(void)
{
    for (int v = 0; v < VECTORS; v++)
        if (memcmp(loaded.vector[v], run.vector[v], run.layout.element_count * sizeof(float)) != 0)
            return false;
    return true;
}

static void what_was_saved_is_loaded(void **state)
{
    save(500, 3);
    assert_ok(load(MU_CHECKPOINT_NEWEST));
    assert_true(vectors_are_equal()); /* gaps too */
    const struct mu_manifest *manifest = &loaded.manifest;
    assert_int_equal(manifest->step, 500);
    assert_int_equal(manifest->epoch, 3);
    assert_int_equal(manifest->samples_done, 32000);
    assert_true(manifest->seed == UINT64_MAX - 5);
    assert_true(manifest->job_hash == UINT64_C(0x8123456789abcdef));
    assert_int_equal(manifest->wall_ns, INT64_C(1763764801123000000));
    assert_string_equal(manifest->run, "7f3a");
    assert_int_equal(manifest->parameters_crc32c, mu_layout_crc32c_of(&run.layout, run.vector[0]));
    assert_string_equal(test_log.text, "");
    mu_manifest_finish(&loaded.manifest);
}

static void the_place_in_the_data_comes_back(void **state)
{
    save(500, 3);
    assert_ok(load(500));
    const struct mu_position *position = loaded.manifest.positions;
    assert_int_equal(loaded.manifest.position_count, 2);
    assert_int_equal(position[0].epoch, 3);
    assert_int_equal(position[0].stretch.replica_count, 4);
    assert_int_equal(position[0].stretch.batch, 64);
    assert_memory_equal(position[0].stretch.steps_done, run.steps_done[0], 4 * sizeof(int64_t));
    assert_int_equal(position[1].epoch, 4);
    assert_int_equal(position[1].stretch.replica_count, 2);
    assert_memory_equal(position[1].stretch.steps_done, run.steps_done[1], 2 * sizeof(int64_t));
    mu_manifest_finish(&loaded.manifest);
}

static void an_optimizer_without_slots_is_saved_and_loaded(void **state)
{
    run.snapshot.slot_count = 0;
    run.snapshot.optimizer = "sgd";
    save(1, 1);
    loaded.target = (struct mu_checkpoint_target){.model = "mlp", .optimizer = "sgd"};
    assert_ok(load(1));
    assert_memory_equal(loaded.vector[0], run.vector[0], run.layout.element_count * sizeof(float));
    mu_manifest_finish(&loaded.manifest);
}

static void only_the_newest_are_kept(void **state)
{
    int64_t numbers[8];
    for (int64_t step = 1; step <= 5; step++)
        save(step, 2);
    assert_int_equal(store->ops->list(store, numbers, 8), 2);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(numbers[1], 5);
}

/* Resumed from 2 after 3 was damaged: 3 is of another history and must not count as kept. */
static void a_history_that_was_left_is_dropped(void **state)
{
    int64_t numbers[8];
    for (int64_t step = 1; step <= 3; step++)
        save(step * 100, 2);
    save(250, 2);
    assert_int_equal(store->ops->list(store, numbers, 8), 2);
    assert_int_equal(numbers[0], 200);
    assert_int_equal(numbers[1], 250);
}

/* ---- damage ---- */

#define FILES 3
static const char *const file_names[FILES] = {
    MU_CHECKPOINT_MODEL, MU_CHECKPOINT_OPTIMIZER, MU_MANIFEST_NAME};

struct bytes {
    void *data;
    size_t bytes;
};

static struct bytes get(int64_t step, int file)
{
    struct bytes got;
    assert_ok(
        store->ops->get(store, test_said, step, file_names[file], 1 << 20, &got.data, &got.bytes));
    return got;
}

/* Puts the entry again with one file replaced; `bytes` NULL leaves the file out. */
static void replace(int64_t step, int file, const void *data, size_t bytes)
{
    struct bytes kept[FILES];
    struct mu_store_piece pieces[FILES];
    struct mu_store_file files[FILES];
    size_t count = 0;
    for (int i = 0; i < FILES; i++) {
        kept[i] = get(step, i);
        pieces[i] = i == file ? (struct mu_store_piece){data, bytes}
                              : (struct mu_store_piece){kept[i].data, kept[i].bytes};
        if (i == file && !data)
            continue;
        files[count] = (struct mu_store_file){.pieces = &pieces[i], .piece_count = 1};
        strcpy(files[count++].name, file_names[i]);
    }
    assert_ok(store->ops->put(store, test_said, step, files, count));
    for (int i = 0; i < FILES; i++)
        free(kept[i].data);
}

static void flip(int64_t step, int file, size_t bit)
{
    struct bytes got = get(step, file);
    ((unsigned char *)got.data)[bit / 8] ^= (unsigned char)(1u << bit % 8);
    replace(step, file, got.data, got.bytes);
    free(got.data);
}

static size_t header_bytes(int64_t step, int file)
{
    uint64_t length;
    struct bytes got = get(step, file);
    memcpy(&length, got.data, sizeof(length));
    free(got.data);
    return sizeof(length) + (size_t)length;
}

static size_t file_bytes(int64_t step, int file)
{
    struct bytes got = get(step, file);
    free(got.data);
    return got.bytes;
}

static void expect_damage(const char *named)
{
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&test_log, "error[E0601]");
    assert_said(&test_log, named);
    assert_int_equal(test_said->first_number, 601);
    test_said = mu_test_log_init(&test_log);
}

static void any_flipped_bit_of_a_header_is_found_and_its_byte_named(void **state)
{
    save(500, 1);
    for (int file = 0; file < 2; file++)
        for (size_t bit = 0, end = 8 * header_bytes(500, file); bit < end; bit++) {
            char named[80];
            snprintf(named, sizeof(named), "%s: its header is damaged at byte %zu",
                file_names[file], bit / 8);
            flip(500, file, bit);
            expect_damage(named);
            flip(500, file, bit);
        }
}

static void two_damaged_bytes_of_a_header_are_found(void **state)
{
    save(500, 1);
    flip(500, 0, 8 * 12);
    flip(500, 0, 8 * 40);
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&test_log, file_names[0]);
    assert_null(strstr(test_log.text, "damaged at byte"));
    test_said = mu_test_log_init(&test_log);
}

static void any_flipped_bit_of_a_manifest_is_found(void **state)
{
    save(500, 1);
    for (size_t bit = 0; bit < 8 * file_bytes(500, 2); bit++) {
        flip(500, 2, bit);
        expect_damage(MU_MANIFEST_NAME);
        flip(500, 2, bit);
    }
}

/* The tensor of a file that a byte belongs to. */
static void tensor_at(int file, size_t byte, char out[2 * MU_NAME_MAX + 2])
{
    struct bytes got = get(500, file);
    struct mu_safetensors tensors;
    assert_ok(mu_safetensors_parse(test_said, "x", got.data, got.bytes, &tensors));
    strcpy(out, "?");
    for (size_t i = 0; i < tensors.tensor_count; i++)
        if (byte >= tensors.tensor[i].begin && byte < tensors.tensor[i].end)
            snprintf(out, 2 * MU_NAME_MAX + 2, "`%s`", tensors.tensor[i].name);
    mu_safetensors_finish(&tensors);
    free(got.data);
}

static void any_flipped_bit_of_a_tensor_names_the_tensor(void **state)
{
    save(500, 1);
    for (int file = 0; file < 2; file++) {
        size_t start = header_bytes(500, file), end = file_bytes(500, file);
        for (size_t bit = 8 * start; bit < 8 * end; bit++) {
            char name[2 * MU_NAME_MAX + 2];
            tensor_at(file, bit / 8, name);
            flip(500, file, bit);
            expect_damage(name);
            flip(500, file, bit);
        }
    }
}

static void any_other_length_is_found(void **state)
{
    save(500, 1);
    for (int file = 0; file < FILES; file++) {
        struct bytes whole = get(500, file);
        char *longer = calloc(1, whole.bytes + 8);
        memcpy(longer, whole.data, whole.bytes);
        for (size_t bytes = 0; bytes <= whole.bytes + 8; bytes++) {
            if (bytes == whole.bytes)
                continue;
            replace(500, file, longer, bytes);
            expect_damage(file_names[file]);
        }
        replace(500, file, whole.data, whole.bytes);
        free(longer);
        free(whole.data);
    }
    assert_ok(load(500));
    mu_manifest_finish(&loaded.manifest);
}

static void a_missing_file_is_named(void **state)
{
    for (int file = 0; file < FILES; file++) {
        save(500, 1);
        replace(500, file, NULL, 0);
        expect_damage("is missing");
    }
}

static void an_entry_under_another_number_is_found(void **state)
{
    save(500, 2);
    struct bytes manifest = get(500, 2);
    save(600, 2);
    replace(600, 2, manifest.data, manifest.bytes);
    free(manifest.data);
    assert_int_equal(load(600), MU_BAD_DATA);
    assert_said(&test_log, "is of step 500");
}

static void a_damaged_newest_falls_back_and_says_so(void **state)
{
    save(400, 3);
    fill_vectors(2);
    save(500, 3);
    fill_vectors(1);
    flip(500, 0, 8 * header_bytes(500, 0) + 3);
    assert_ok(load(MU_CHECKPOINT_NEWEST));
    assert_int_equal(loaded.manifest.step, 400);
    assert_true(vectors_are_equal());
    assert_said(&test_log, "passed over: ");
    assert_said(&test_log, "crc mismatch in `");
    assert_said(&test_log, "fell back to the checkpoint of step 400");
    assert_int_equal(test_said->first_number, 0); /* warnings, no error */
    mu_manifest_finish(&loaded.manifest);
}

static void a_damaged_optimizer_falls_back_whole(void **state)
{
    save(400, 3);
    fill_vectors(2);
    save(500, 3);
    fill_vectors(1);
    flip(500, 1, 8 * header_bytes(500, 1) + 3);
    assert_ok(load(MU_CHECKPOINT_NEWEST));
    assert_true(vectors_are_equal()); /* nothing of 500 is left in them */
    mu_manifest_finish(&loaded.manifest);
}

static void when_none_is_whole_there_is_one_error(void **state)
{
    save(400, 3);
    save(500, 3);
    flip(400, 0, 100);
    flip(500, 0, 100);
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_int_equal(test_said->first_number, 601);
    char *first = strstr(test_log.text, "error[");
    assert_non_null(first);
    assert_null(strstr(first + 1, "error["));
    assert_said(&test_log, "none of the 2 checkpoints is whole; the oldest: ");
    assert_said(&test_log, "= help: begin again in another directory: --out DIR");
}

static void a_step_asked_for_is_not_replaced_by_another(void **state)
{
    save(400, 3);
    save(500, 3);
    flip(500, 0, 100);
    assert_int_equal(load(500), MU_BAD_DATA);
    assert_int_equal(load(450), MU_NO_INPUT);
    assert_said(&test_log, "E0603");
}

static void without_a_checkpoint_input_is_missing(void **state)
{
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_NO_INPUT);
    assert_said(&test_log, "error[E0603]: there is no checkpoint in");
}

/* ---- another model, another version ---- */

static void another_shape_is_shown_in_a_table(void **state)
{
    struct mu_layout wider;
    save(400, 3);
    save(500, 3);
    make_layout(&wider, 8);
    loaded.target = (struct mu_checkpoint_target){.model = "mlp",
        .optimizer = "adam",
        .slot_count = 2,
        .slot_names = {"m", "v"},
        .layout = &wider};
    assert_int_equal(load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&test_log, "error[E0602]");
    assert_said(&test_log, "dense1/w             expected 8x5 F32, found 7x5 F32");
    assert_null(strstr(test_log.text, "dense1/b"));
    assert_null(strstr(test_log.text, "passed over")); /* older ones are of the same run */
}

static void missing_and_surplus_tensors_are_in_the_table(void **state)
{
    struct mu_layout other;
    save(500, 3);
    mu_layout_init(&other);
    assert_true(mu_layout_add(&other, "dense1/w", 2, (const int64_t[]){7, 5}));
    assert_true(mu_layout_add(&other, "dense2/w", 1, (const int64_t[]){3}));
    loaded.target =
        (struct mu_checkpoint_target){.model = "mlp", .optimizer = "sgd", .layout = &other};
    assert_int_equal(load(500), MU_BAD_DATA);
    assert_said(&test_log, "dense2/w             expected 3 F32, found nothing");
    assert_said(&test_log, "dense1/b             expected nothing, found 5 F32");
    assert_said(&test_log, "scale                expected nothing, found scalar F32");
}

static void another_kind_is_named(void **state)
{
    save(500, 3);
    loaded.target = (struct mu_checkpoint_target){.model = "softmax", .optimizer = "adam"};
    assert_int_equal(load(500), MU_BAD_DATA);
    assert_said(&test_log, "another model: expected `softmax`, found `mlp`");
    loaded.target = (struct mu_checkpoint_target){.model = "mlp", .optimizer = "momentum"};
    assert_int_equal(load(500), MU_BAD_DATA);
    assert_said(&test_log, "another optimizer: expected `momentum`, found `adam`");
}

static void an_evaluator_needs_no_optimizer(void **state)
{
    save(500, 3);
    struct mu_checkpoint_target target = {
        .model = "mlp", .layout = &run.layout, .parameters = loaded.vector[0]};
    flip(500, 1, 100); /* it does not even look */
    assert_ok(mu_checkpoint_read_for_eval(
        store, test_said, MU_CHECKPOINT_NEWEST, &target, &loaded.manifest));
    assert_memory_equal(loaded.vector[0], run.vector[0], run.layout.element_count * sizeof(float));
    mu_manifest_finish(&loaded.manifest);
}

/* ---- a store with somebody else at work ---- */

/* Passes everything on to `store`; before the first get the entry is dropped and another is put, as
 * by a writer that keeps one. */
static int busy_gets;

static size_t busy_list(struct mu_store *self, int64_t *ret_numbers, size_t most)
{
    return store->ops->list(store, ret_numbers, most);
}

static enum mu_status busy_get(struct mu_store *self, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    if (busy_gets++ == 0)
        save(600, 1);
    return store->ops->get(store, log, number, name, bytes_max, ret_data, ret_bytes);
}

static void busy_describe(struct mu_store *self, int64_t number, char *out, size_t bytes)
{
    store->ops->describe(store, number, out, bytes);
}

static enum mu_status refuse_drop(struct mu_store *self, struct mu_log *log, int64_t number)
{
    return MU_IO_ERROR;
}

static enum mu_status pass_put(struct mu_store *self, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    return store->ops->put(store, log, number, files, file_count);
}

static enum mu_status refuse_put(struct mu_store *self, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    return MU_IO_ERROR;
}

static void an_entry_dropped_while_it_is_read_is_no_damage(void **state)
{
    static const struct mu_store_ops ops = {
        .list = busy_list, .get = busy_get, .describe = busy_describe};
    struct mu_store busy = {.ops = &ops};
    save(500, 1);
    busy_gets = 0;
    struct mu_checkpoint_target target = {
        .model = "mlp", .layout = &run.layout, .parameters = loaded.vector[0]};
    assert_ok(mu_checkpoint_read_for_eval(
        &busy, test_said, MU_CHECKPOINT_NEWEST, &target, &loaded.manifest));
    assert_int_equal(loaded.manifest.step, 600);
    assert_string_equal(test_log.text, "");
    mu_manifest_finish(&loaded.manifest);
}

static void a_put_that_fails_drops_nothing(void **state)
{
    static const struct mu_store_ops ops = {
        .put = refuse_put, .list = busy_list, .drop = refuse_drop, .describe = busy_describe};
    struct mu_store refusing = {.ops = &ops};
    int64_t numbers[4];
    save(400, 1);
    run.snapshot.step = 500;
    assert_int_equal(mu_checkpoint_save(&refusing, test_said, &run.snapshot, 1), MU_IO_ERROR);
    assert_int_equal(store->ops->list(store, numbers, 4), 1);
    assert_int_equal(numbers[0], 400);
}

static void a_drop_that_fails_is_a_warning(void **state)
{
    static const struct mu_store_ops ops = {
        .put = pass_put, .list = busy_list, .drop = refuse_drop, .describe = busy_describe};
    struct mu_store refusing = {.ops = &ops};
    save(400, 1);
    run.snapshot.step = 500;
    assert_ok(mu_checkpoint_save(&refusing, test_said, &run.snapshot, 1));
    assert_said(&test_log, "the old checkpoint");
}

static void one_entry_is_verified_by_itself(void **state)
{
    struct mu_manifest manifest;
    save(500, 1);
    assert_ok(mu_checkpoint_verify(store, test_said, 500, &manifest));
    assert_int_equal(manifest.file_count, 2);
    assert_int_equal(manifest.files[0].tensor_count, 3);
    assert_int_equal(manifest.files[1].tensor_count, 6);
    mu_manifest_finish(&manifest);
    flip(500, 1, 8 * file_bytes(500, 1) - 1);
    assert_int_equal(mu_checkpoint_verify(store, test_said, 500, &manifest), MU_BAD_DATA);
    assert_said(&test_log, "crc mismatch in `v/");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_run, finish_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_saved_is_loaded),
        CASE(the_place_in_the_data_comes_back),
        CASE(an_optimizer_without_slots_is_saved_and_loaded),
        CASE(only_the_newest_are_kept),
        CASE(a_history_that_was_left_is_dropped),
        CASE(any_flipped_bit_of_a_header_is_found_and_its_byte_named),
        CASE(two_damaged_bytes_of_a_header_are_found),
        CASE(any_flipped_bit_of_a_manifest_is_found),
        CASE(any_flipped_bit_of_a_tensor_names_the_tensor),
        CASE(any_other_length_is_found),
        CASE(a_missing_file_is_named),
        CASE(an_entry_under_another_number_is_found),
        CASE(a_damaged_newest_falls_back_and_says_so),
        CASE(a_damaged_optimizer_falls_back_whole),
        CASE(when_none_is_whole_there_is_one_error),
        CASE(a_step_asked_for_is_not_replaced_by_another),
        CASE(without_a_checkpoint_input_is_missing),
        CASE(another_shape_is_shown_in_a_table),
        CASE(missing_and_surplus_tensors_are_in_the_table),
        CASE(another_kind_is_named),
        CASE(an_evaluator_needs_no_optimizer),
        CASE(an_entry_dropped_while_it_is_read_is_no_damage),
        CASE(a_put_that_fails_drops_nothing),
        CASE(a_drop_that_fails_is_a_warning),
        CASE(one_entry_is_verified_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
