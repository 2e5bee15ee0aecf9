/* SPDX-License-Identifier: Apache-2.0 */
#include "run_rig.h"

static void expect_damage(const char *named)
{
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&rig.log, "error[E0601]");
    assert_said(&rig.log, named);
    assert_int_equal(rig.said->first_number, 601);
    rig.said = mu_test_log_init(&rig.log);
}

static void any_flipped_bit_of_a_header_is_found_and_its_byte_named(void **state)
{
    run_rig_save(500, 1);
    for (int file = 0; file < 2; file++)
        for (size_t bit = 0, end = 8 * run_rig_header_bytes(500, file); bit < end; bit++) {
            char named[80];
            snprintf(named, sizeof(named), "%s: its header is damaged at byte %zu",
                run_rig_file_names[file], bit / 8);
            run_rig_flip(500, file, bit);
            expect_damage(named);
            run_rig_flip(500, file, bit);
        }
}

static void two_damaged_bytes_of_a_header_are_found(void **state)
{
    run_rig_save(500, 1);
    run_rig_flip(500, 0, 8 * 12);
    run_rig_flip(500, 0, 8 * 40);
    assert_int_equal(run_rig_load(MU_CHECKPOINT_NEWEST), MU_BAD_DATA);
    assert_said(&rig.log, run_rig_file_names[0]);
    assert_null(strstr(rig.log.text, "damaged at byte"));
    rig.said = mu_test_log_init(&rig.log);
}

static void any_flipped_bit_of_a_manifest_is_found(void **state)
{
    run_rig_save(500, 1);
    for (size_t bit = 0; bit < 8 * run_rig_file_bytes(500, 2); bit++) {
        run_rig_flip(500, 2, bit);
        expect_damage(MU_MANIFEST_NAME);
        run_rig_flip(500, 2, bit);
    }
}

/* The tensor of a file that a byte belongs to. */
static void tensor_at(int file, size_t byte, char out[2 * MU_NAME_MAX + 2])
{
    struct run_rig_bytes got = run_rig_get(500, file);
    struct mu_safetensors tensors;
    assert_ok(mu_safetensors_parse(rig.said, "x", got.data, got.bytes, &tensors));
    strcpy(out, "?");
    for (size_t i = 0; i < tensors.tensor_count; i++)
        if (byte >= tensors.tensor[i].begin && byte < tensors.tensor[i].end)
            snprintf(out, 2 * MU_NAME_MAX + 2, "`%s`", tensors.tensor[i].name);
    mu_safetensors_finish(&tensors);
    free(got.data);
}

static void any_flipped_bit_of_a_tensor_names_the_tensor(void **state)
{
    run_rig_save(500, 1);
    for (int file = 0; file < 2; file++) {
        size_t start = run_rig_header_bytes(500, file), end = run_rig_file_bytes(500, file);
        for (size_t bit = 8 * start; bit < 8 * end; bit++) {
            char name[2 * MU_NAME_MAX + 2];
            tensor_at(file, bit / 8, name);
            run_rig_flip(500, file, bit);
            expect_damage(name);
            run_rig_flip(500, file, bit);
        }
    }
}

static void any_other_length_is_found(void **state)
{
    run_rig_save(500, 1);
    for (int file = 0; file < RUN_RIG_FILES; file++) {
        struct run_rig_bytes whole = run_rig_get(500, file);
        char *longer = calloc(1, whole.bytes + 8);
        memcpy(longer, whole.data, whole.bytes);
        for (size_t bytes = 0; bytes <= whole.bytes + 8; bytes++) {
            if (bytes == whole.bytes)
                continue;
            run_rig_replace(500, file, longer, bytes);
            expect_damage(run_rig_file_names[file]);
        }
        run_rig_replace(500, file, whole.data, whole.bytes);
        free(longer);
        free(whole.data);
    }
    assert_ok(run_rig_load(500));
    mu_manifest_finish(&rig.loaded.manifest);
}

static void a_missing_file_is_named(void **state)
{
    for (int file = 0; file < RUN_RIG_FILES; file++) {
        run_rig_save(500, 1);
        run_rig_replace(500, file, NULL, 0);
        expect_damage("is missing");
    }
}

static void an_entry_under_another_number_is_found(void **state)
{
    run_rig_save(500, 2);
    struct run_rig_bytes manifest = run_rig_get(500, 2);
    run_rig_save(600, 2);
    run_rig_replace(600, 2, manifest.data, manifest.bytes);
    free(manifest.data);
    assert_int_equal(run_rig_load(600), MU_BAD_DATA);
    assert_said(&rig.log, "is of step 500");
}

static void one_entry_is_verified_by_itself(void **state)
{
    struct mu_manifest manifest;
    run_rig_save(500, 1);
    assert_ok(mu_checkpoint_verify(rig.store, rig.said, 500, &manifest));
    assert_int_equal(manifest.file_count, 2);
    assert_int_equal(manifest.files[0].tensor_count, 3);
    assert_int_equal(manifest.files[1].tensor_count, 6);
    mu_manifest_finish(&manifest);
    run_rig_flip(500, 1, 8 * run_rig_file_bytes(500, 1) - 1);
    assert_int_equal(mu_checkpoint_verify(rig.store, rig.said, 500, &manifest), MU_BAD_DATA);
    assert_said(&rig.log, "crc mismatch in `v/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_RIG_CASE(any_flipped_bit_of_a_header_is_found_and_its_byte_named),
        RUN_RIG_CASE(two_damaged_bytes_of_a_header_are_found),
        RUN_RIG_CASE(any_flipped_bit_of_a_manifest_is_found),
        RUN_RIG_CASE(any_flipped_bit_of_a_tensor_names_the_tensor),
        RUN_RIG_CASE(any_other_length_is_found),
        RUN_RIG_CASE(a_missing_file_is_named),
        RUN_RIG_CASE(an_entry_under_another_number_is_found),
        RUN_RIG_CASE(one_entry_is_verified_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
