/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/manifest.h"
#include "runtime/base/crc32c.h"
#include "test.h"

static struct mu_test_log test_log;

static int make_log(void **state)
{
    mu_test_log_init(&test_log);
    return 0;
}

static void make_manifest(struct mu_manifest *manifest)
{
    int64_t steps_done[] = {12, 11};
    struct mu_position position = {3, {2, 64, steps_done, NULL}};
    struct mu_manifest_file *file;
    mu_manifest_init(manifest);
    strcpy(manifest->writer, "muster 0.1.0");
    strcpy(manifest->run, "7f3a");
    strcpy(manifest->model, "mlp");
    strcpy(manifest->optimizer, "momentum");
    manifest->wall_ns = INT64_C(1763764801123000000);
    manifest->step = 500;
    manifest->epoch = 3;
    manifest->samples_done = 32000;
    manifest->seed = 1;
    manifest->job_hash = 0xabc;
    manifest->layout_crc32c = 0x12;
    manifest->parameters_crc32c = 0xfedcba98;
    assert_ok(mu_manifest_add_position(manifest, &position));
    assert_ok(mu_manifest_add_file(manifest, "model.safetensors", 1, &file));
    file->bytes = 1234;
    file->crc32c = 0x1;
    strcpy(file->tensors[0].name, "dense1/w");
    file->tensors[0].crc32c = 0x2;
    assert_ok(mu_manifest_add_file(manifest, "optimizer.safetensors", 0, &file));
}

static const char golden[] = "{\n"
                             "  \"format\": 1,\n"
                             "  \"writer\": \"muster 0.1.0\",\n"
                             "  \"run\": \"7f3a\",\n"
                             "  \"written_ms\": 1763764801123,\n"
                             "  \"step\": 500,\n"
                             "  \"epoch\": 3,\n"
                             "  \"samples_done\": 32000,\n"
                             "  \"seed\": 1,\n"
                             "  \"model\": \"mlp\",\n"
                             "  \"optimizer\": \"momentum\",\n"
                             "  \"job_hash\": \"0000000000000abc\",\n"
                             "  \"layout_crc32c\": \"00000012\",\n"
                             "  \"parameters_crc32c\": \"fedcba98\",\n"
                             "  \"positions\": [\n"
                             "    {\"epoch\": 3, \"replica_count\": 2, \"batch\": 64, "
                             "\"steps_done\": [12, 11]}\n"
                             "  ],\n"
                             "  \"files\": {\n"
                             "    \"model.safetensors\": {\n"
                             "      \"bytes\": 1234,\n"
                             "      \"crc32c\": \"00000001\",\n"
                             "      \"tensors\": {\n"
                             "        \"dense1/w\": \"00000002\"\n"
                             "      }\n"
                             "    },\n"
                             "    \"optimizer.safetensors\": {\n"
                             "      \"bytes\": 0,\n"
                             "      \"crc32c\": \"00000000\",\n"
                             "      \"tensors\": {}\n"
                             "    }\n"
                             "  }";

/* The text with the checksum that it should have. */
static void seal(char *text, size_t bytes)
{
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, ",\n  \"crc32c\": \"%08x\"\n}\n", mu_crc32c(0, text, used));
}

static void a_manifest_is_this_text(void **state)
{
    struct mu_manifest manifest;
    struct mu_text text;
    char expected[4096];
    make_manifest(&manifest);
    mu_text_init(&text);
    mu_manifest_write(&manifest, &text);
    strcpy(expected, golden);
    seal(expected, sizeof(expected));
    assert_string_equal(text.data, expected);
    mu_text_finish(&text);
    mu_manifest_finish(&manifest);
}

static enum mu_status parse_sealed(const char *unsealed, struct mu_manifest *ret_manifest)
{
    static char text[1 << 16];
    snprintf(text, sizeof(text), "%s", unsealed);
    seal(text, sizeof(text));
    return mu_manifest_parse(&test_log.log, "manifest.json", text, strlen(text), ret_manifest);
}

static void what_was_written_is_read(void **state)
{
    struct mu_manifest manifest;
    assert_ok(parse_sealed(golden, &manifest));
    assert_int_equal(manifest.samples_done, 32000);
    assert_int_equal(manifest.parameters_crc32c, 0xfedcba98);
    assert_int_equal(manifest.positions[0].stretch.steps_done[1], 11);
    const struct mu_manifest_file *file = mu_manifest_file(&manifest, "model.safetensors");
    assert_non_null(file);
    assert_int_equal(file->bytes, 1234);
    assert_string_equal(file->tensors[0].name, "dense1/w");
    assert_int_equal(file->tensors[0].crc32c, 2);
    assert_null(mu_manifest_file(&manifest, "other"));
    mu_manifest_finish(&manifest);
    mu_manifest_finish(&manifest); /* harmless twice */
}

/* `golden` with its first `from` replaced. */
static const char *with(const char *from, const char *to)
{
    static char text[1 << 15];
    const char *at = strstr(golden, from);
    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - golden), golden, to, at + strlen(from));
    return text;
}

/* A checksum is no signature: what is sealed may still be nonsense, and is refused with a name. */
static void sealed_nonsense_is_refused_by_name(void **state)
{
    static const struct {
        const char *from, *to, *named;
    } cases[] = {
        {"\"step\": 500", "\"step\": -1", "`step`"},
        {"\"step\": 500", "\"step\": 5.5", "`step`"},
        {"\"step\": 500", "\"step\": \"500\"", "`step`"},
        {"  \"step\": 500,\n", "", "`step`"},
        {"\"step\": 500", "\"step\": 500, \"step\": 501", "step"},
        {"\"mlp\"", "7", "`model`"},
        {"\"mlp\"", "\"0123456789012345678901234567890123456789012345678901234567890123\"",
            "`model`"},
        {"\"0000000000000abc\"", "\"abc\"", "`job_hash`"},
        {"\"fedcba98\"", "\"fedcba9x\"", "`parameters_crc32c`"},
        {"\"fedcba98\"", "\"+edcba98\"", "`parameters_crc32c`"},
        {"\"replica_count\": 2", "\"replica_count\": 0", "`positions`"},
        {"\"replica_count\": 2", "\"replica_count\": 1", "`positions`"},
        {"\"replica_count\": 2", "\"replica_count\": 2147483648", "`positions`"},
        {"\"batch\": 64", "\"batch\": 0", "`positions`"},
        {"[12, 11]", "[12, -11]", "`positions`"},
        {"[12, 11]", "[12, []]", "`positions`"},
        {"[12, 11]", "12", "`positions`"},
        {"\"files\": {", "\"files\": {\"../x\": {}, ", "`../x`"},
        {"\"files\": {", "\"files\": {\"a\": 1, ", "`a`"},
        {"\"bytes\": 1234", "\"bytes\": -1", "`model.safetensors`"},
        {"\"00000002\"", "2", "`model.safetensors`"},
        {"\"tensors\": {}", "\"tensors\": []", "`optimizer.safetensors`"},
        {"\"files\": {",
            "\"files\": {\"a\": {\"bytes\": 0, \"crc32c\": \"00000000\", "
            "\"tensors\": {}}, \"b\": {}, \"c\": {}, \"d\": {}, ",
            "`files`"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        struct mu_manifest manifest;
        make_log(NULL);
        assert_int_equal(parse_sealed(with(cases[i].from, cases[i].to), &manifest), MU_BAD_DATA);
        assert_said(&test_log, "E0601");
        assert_said(&test_log, cases[i].named);
    }
}

#define ONE_EPOCH "\"batch\": 64, \"steps_done\""
#define MANY(epochs) "\"batch\": 64, \"epochs\": " epochs ", \"steps_done\""

/* Older readers would take it for a stretch of one epoch, so it has another number. */
static void replicas_in_several_epochs_are_format_2(void **state)
{
    (void)state;
    struct mu_manifest manifest;
    struct mu_text text;
    assert_ok(parse_sealed(with(ONE_EPOCH, MANY("[1003, 3]")), &manifest));
    assert_int_equal(manifest.positions[0].stretch.epochs[0], 1003);
    assert_int_equal(manifest.positions[0].stretch.epochs[1], 3);
    assert_int_equal(manifest.positions[0].stretch.steps_done[1], 11);
    mu_text_init(&text);
    mu_manifest_write(&manifest, &text);
    assert_non_null(strstr(text.data, "\"format\": 2,"));
    assert_non_null(strstr(
        text.data, "{\"epoch\": 3, \"replica_count\": 2, " MANY("[1003, 3]") ": [12, 11]}\n"));
    mu_manifest_finish(&manifest);
    assert_ok(mu_manifest_parse(&test_log.log, "m", text.data, text.bytes, &manifest));
    assert_int_equal(manifest.positions[0].stretch.epochs[0], 1003);
    mu_manifest_finish(&manifest);
    mu_text_finish(&text);
    static const char *const wrong[] = {
        MANY("[1003, 2]"), MANY("[1003]"), MANY("[3, 3, 3]"), MANY("[3, []]"), MANY("3")};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        make_log(NULL);
        assert_int_equal(parse_sealed(with(ONE_EPOCH, wrong[i]), &manifest), MU_BAD_DATA);
        assert_said(&test_log, "`positions`");
    }
}

static void text_that_is_no_object_is_refused(void **state)
{
    struct mu_manifest manifest;
    assert_int_equal(parse_sealed("[1", &manifest), MU_BAD_DATA);
    assert_int_equal(parse_sealed("", &manifest), MU_BAD_DATA);
    assert_int_equal(mu_manifest_parse(&test_log.log, "m", "", 0, &manifest), MU_BAD_DATA);
}

static void too_many_positions_are_refused(void **state)
{
    static char many[1 << 14];
    strcpy(many, "\"positions\": [");
    for (int i = 0; i < MU_POSITIONS_MAX; i++)
        strcat(many, "{\"epoch\": 1, \"replica_count\": 1, \"batch\": 1, \"steps_done\": [1]}, ");
    struct mu_manifest manifest;
    assert_int_equal(parse_sealed(with("\"positions\": [", many), &manifest), MU_BAD_DATA);
    assert_said(&test_log, "`positions`");
}

static void a_newer_format_is_not_read(void **state)
{
    struct mu_manifest manifest;
    assert_int_equal(parse_sealed(with("\"format\": 1", "\"format\": 3"), &manifest), MU_PROTOCOL);
    assert_said(&test_log, "error[E0606]");
    assert_said(&test_log, "is of format 3");
}

/* Newer formats of the same number may say more. */
static void an_unknown_key_is_passed_over(void **state)
{
    struct mu_manifest manifest;
    assert_ok(parse_sealed(with("\"format\": 1", "\"format\": 1, \"more\": {}"), &manifest));
    mu_manifest_finish(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_manifest_is_this_text, make_log),
        cmocka_unit_test_setup(what_was_written_is_read, make_log),
        cmocka_unit_test_setup(sealed_nonsense_is_refused_by_name, make_log),
        cmocka_unit_test_setup(replicas_in_several_epochs_are_format_2, make_log),
        cmocka_unit_test_setup(text_that_is_no_object_is_refused, make_log),
        cmocka_unit_test_setup(too_many_positions_are_refused, make_log),
        cmocka_unit_test_setup(a_newer_format_is_not_read, make_log),
        cmocka_unit_test_setup(an_unknown_key_is_passed_over, make_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
