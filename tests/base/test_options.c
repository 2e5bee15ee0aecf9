/* SPDX-License-Identifier: Apache-2.0 */
#include "option_rows.h"
#include "test.h"
#include <math.h>

static struct mu_test_log said;
static struct sample sample;

static int setup(void **state)
{
    (void)state;
    mu_test_log_init(&said);
    memset(&sample, 0xa5, sizeof(sample));
    mu_options_defaults(sample_rows, &sample);
    return 0;
}

static enum mu_status set(const char *name, const char *text)
{
    char flag[64];
    mu_format(flag, sizeof(flag), "--%s", name);
    return mu_options_set(&said.log, flag, mu_options_find(sample_rows, name), text, &sample);
}

static void defaults_are_those_of_the_rows(void **state)
{
    (void)state;
    assert_false(sample.nesterov);
    assert_int_equal(sample.batch, 64);
    assert_true(sample.rate == 0.05);
    assert_string_equal(sample.path, "");
    assert_int_equal(sample.kind, 1);
    assert_int_equal(sample.widths.count, 3);
    assert_int_equal(sample.widths.value[0], 784);
    assert_int_equal(sample.widths.value[2], 10);
}

static void required_fields_become_zeros(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sample.path); i++)
        assert_int_equal(sample.path[i], 0);
}

static void rows_are_found_by_name(void **state)
{
    (void)state;
    assert_string_equal(mu_options_find(sample_rows, "batch")->name, "batch");
    assert_null(mu_options_find(sample_rows, "Batch"));
}

static void text_sets_every_type(void **state)
{
    (void)state;
    assert_ok(set("nesterov", "yes"));
    assert_ok(set("batch", "128"));
    assert_ok(set("learning_rate", "1e-3"));
    assert_ok(set("path", "data/mnist"));
    assert_ok(set("kind", "step"));
    assert_ok(set("widths", "[5, 6]"));
    assert_ok(set("any", "-9000000000000000000"));
    assert_true(sample.nesterov);
    assert_int_equal(sample.batch, 128);
    assert_true(sample.rate == 1e-3);
    assert_string_equal(sample.path, "data/mnist");
    assert_int_equal(sample.kind, 2);
    assert_int_equal(sample.widths.count, 2);
    assert_int_equal(sample.widths.value[1], 6);
    assert_int_equal(sample.any, INT64_C(-9000000000000000000));
}

static void minus_zero_is_zero(void **state)
{
    (void)state;
    assert_ok(set("learning_rate", "-0"));
    assert_int_equal(signbit(sample.rate), 0);
}

static void list_of_integers_may_be_empty(void **state)
{
    (void)state;
    assert_ok(set("widths", "[]"));
    assert_int_equal(sample.widths.count, 0);
    assert_ok(set("widths", "7"));
    assert_int_equal(sample.widths.count, 1);
    assert_ok(set("widths", ""));
    assert_int_equal(sample.widths.count, 0);
}

static void wrong_text_is_refused_with_the_range(void **state)
{
    (void)state;
    static const char integers[] = "a list of integers, each 1 to 1000000";
    static const struct {
        const char *name, *text, *expected;
    } rows[] = {
        {"nesterov", "maybe", "true or false"},
        {"batch", "0", "an integer, 1 to 65536"},
        {"batch", "65537", "an integer, 1 to 65536"},
        {"batch", "1.5", "an integer, 1 to 65536"},
        {"batch", "", "an integer, 1 to 65536"},
        {"any", "9223372036854775808", "an integer"},
        {"learning_rate", "-0.1", "a number, 0 to 10"},
        {"learning_rate", "10.001", "a number, 0 to 10"},
        {"learning_rate", "nan", "a number, 0 to 10"},
        {"learning_rate", "inf", "a number, 0 to 10"},
        {"path", "0123456789abcdef", "at most 15 bytes"},
        {"kind", "cosin", "one of constant, cosine or step\n  = help: did you mean `cosine`?"},
        {"kind", "", "one of constant, cosine or step"},
        {"kind", "constant|cosine", "one of constant, cosine or step"},
        {"widths", "1,,2", integers},
        {"widths", "1,2,", integers},
        {"widths", ",1", integers},
        {"widths", "[1", integers},
        {"widths", "1]", integers},
        {"widths", "[1]2", integers},
        {"widths", "1;2", integers},
        {"widths", "1,0", integers},
        {"widths", "123456789012345678901234567890", integers},
        {"widths", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "at most 16 integers"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct sample before;
        char expected[256];
        mu_test_log_init(&said);
        memcpy(&before, &sample, sizeof(before));
        assert_int_equal(set(rows[i].name, rows[i].text), MU_USAGE);
        mu_format(expected, sizeof(expected), "error[E0001]: --%s cannot be `%s`: expected ",
            rows[i].name, rows[i].text);
        assert_said(&said, expected);
        assert_said(&said, rows[i].expected);
        assert_memory_equal(&before, &sample, sizeof(before));
    }
}

static void range(const struct mu_option *row, const char *expected)
{
    char out[64];
    mu_options_range(row, out, sizeof(out));
    assert_string_equal(out, expected);
}

static void ranges_read_in_a_sentence(void **state)
{
    (void)state;
    range(mu_options_find(sample_rows, "batch"), "1 to 65536");
    range(mu_options_find(sample_rows, "kind"), "one of constant, cosine or step");
    range(mu_options_find(sample_rows, "any"), "");
    struct mu_option row = {.type = MU_OPTION_REAL, .min = 0.5, .max = 1e300};
    range(&row, "at least 0.5");
    row = (struct mu_option){.type = MU_OPTION_REAL, .min = -1e300, .max = 2};
    range(&row, "at most 2");
    row = (struct mu_option){.type = MU_OPTION_CHOICE, .choices = "only"};
    range(&row, "one of only");
}

static void description_has_a_line_a_row(void **state)
{
    (void)state;
    struct mu_text out;
    mu_text_init(&out);
    mu_options_describe(sample_rows, &out);
    assert_string_equal(out.data,
        "  nesterov       true or false (default false): look ahead\n"
        "  batch          an integer, 1 to 65536 (default 64): samples a step and worker\n"
        "  learning_rate  a number, 0 to 10 (default 0.05): step size\n"
        "  path           a string (required): the folder of the files\n"
        "  kind           one of constant, cosine or step (default cosine): how the rate falls\n"
        "  widths         a list of integers, each 1 to 1000000 (default 784,128,10): units a "
        "layer\n"
        "  any            an integer (default 0): anything\n");
    mu_text_finish(&out);
}

static void options_are_written_as_json_members(void **state)
{
    (void)state;
    struct mu_text out;
    mu_text_init(&out);
    assert_ok(set("path", "a\"b"));
    mu_options_write(sample_rows, &sample, &out);
    assert_string_equal(out.data, "\"nesterov\":false,\"batch\":64,\"learning_rate\":0.05,"
                                  "\"path\":\"a\\\"b\",\"kind\":\"cosine\","
                                  "\"widths\":[784,128,10],\"any\":0");
    mu_text_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_those_of_the_rows, setup),
        cmocka_unit_test_setup(required_fields_become_zeros, setup),
        cmocka_unit_test_setup(rows_are_found_by_name, setup),
        cmocka_unit_test_setup(text_sets_every_type, setup),
        cmocka_unit_test_setup(minus_zero_is_zero, setup),
        cmocka_unit_test_setup(list_of_integers_may_be_empty, setup),
        cmocka_unit_test_setup(wrong_text_is_refused_with_the_range, setup),
        cmocka_unit_test_setup(ranges_read_in_a_sentence, setup),
        cmocka_unit_test_setup(description_has_a_line_a_row, setup),
        cmocka_unit_test_setup(options_are_written_as_json_members, setup),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
