/* SPDX-License-Identifier: Apache-2.0 */
#include "option_rows.h"
#include "test.h"

static struct mu_test_log said;
static struct sample sample;

static int setup(void **state)
{
    (void)state;
    mu_test_log_init(&said);
    memset(&sample, 0xa5, sizeof(sample));
    return 0;
}

/* Reads the member "data" of the document. */
static enum mu_status read_sample(const char *text, const char *const also[])
{
    struct mu_json *json = NULL;
    assert_ok(mu_json_parse(&said.log, MU_E0201, "job.json", text, strlen(text), &json));
    const mu_json_value *object = mu_json_member(mu_json_root(json), "data");
    enum mu_status status =
        mu_options_read(&said.log, json, object, "data", sample_rows, also, &sample);
    mu_json_destroy(json);
    return status;
}

static void members_set_every_type(void **state)
{
    (void)state;
    assert_ok(read_sample("{\"data\":{\"nesterov\":true,\"batch\":32,\"learning_rate\":1,"
                          "\"path\":\"p\",\"kind\":\"constant\",\"widths\":[3,2],\"any\":-1}}",
        NULL));
    assert_true(sample.nesterov);
    assert_int_equal(sample.batch, 32);
    assert_true(sample.rate == 1);
    assert_string_equal(sample.path, "p");
    assert_int_equal(sample.kind, 0);
    assert_int_equal(sample.widths.count, 2);
    assert_int_equal(sample.widths.value[1], 2);
    assert_int_equal(sample.any, -1);
}

static void absent_members_keep_their_defaults(void **state)
{
    (void)state;
    assert_ok(read_sample("{\"data\":{\"path\":\"p\"}}", NULL));
    assert_int_equal(sample.batch, 64);
    assert_int_equal(sample.kind, 1);
    assert_int_equal(sample.widths.count, 3);
}

static void keys_of_the_caller_are_left_to_it(void **state)
{
    (void)state;
    static const char *const also[] = {"driver", NULL};
    assert_ok(read_sample("{\"data\":{\"driver\":7,\"path\":\"p\"}}", also));
    assert_int_equal(read_sample("{\"data\":{\"driver\":7,\"path\":\"p\"}}", NULL), MU_CONFIG);
}

struct refusal {
    const char *text, *said;
};

static void refusals_are(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mu_test_log_init(&said);
        assert_int_equal(read_sample(rows[i].text, NULL), MU_CONFIG);
        assert_string_equal(said.text, rows[i].said);
    }
}

static void wrong_keys_are_refused_with_the_nearest(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"{\"data\":{\"bacth\":1}}", "error[E0202]: unknown key `data.bacth`\n"
                                     "  --> job.json:1:10\n"
                                     "   |\n"
                                     " 1 | {\"data\":{\"bacth\":1}}\n"
                                     "   |          ^^^^^^^\n"
                                     "   = help: did you mean `batch`?\n"},
        {"{\"data\":{\"zzz\":1}}",
            "error[E0202]: unknown key `data.zzz`\n"
            "  --> job.json:1:10\n"
            "   |\n"
            " 1 | {\"data\":{\"zzz\":1}}\n"
            "   |          ^^^^^\n"
            "   = help: there are `nesterov`, `batch`, `learning_rate`, `path`, `kind`, `widths`"
            " and `any`\n"},
    };
    refusals_are(rows, MU_COUNT_OF(rows));
}

static void wrong_values_are_refused_with_the_range(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"{\"data\":{\"batch\":0}}", "error[E0203]: `data.batch` is out of range\n"
                                     "  --> job.json:1:18\n"
                                     "   |\n"
                                     " 1 | {\"data\":{\"batch\":0}}\n"
                                     "   |                  ^ expected an integer, 1 to 65536\n"
                                     "   = help: samples a step and worker\n"},
        {"{\"data\":{\"batch\":1.0}}", "error[E0203]: `data.batch` is a number\n"
                                       "  --> job.json:1:18\n"
                                       "   |\n"
                                       " 1 | {\"data\":{\"batch\":1.0}}\n"
                                       "   |                  ^^^ expected an integer, 1 to 65536\n"
                                       "   = help: samples a step and worker\n"},
        {"{\"data\":{\"kind\":\"stp\"}}",
            "error[E0203]: `data.kind` is out of range\n"
            "  --> job.json:1:17\n"
            "   |\n"
            " 1 | {\"data\":{\"kind\":\"stp\"}}\n"
            "   |                 ^^^^^ expected one of constant, cosine or step\n"
            "   = help: did you mean `step`?\n"},
        {"{\"data\":7}", "error[E0203]: `data` is an integer\n"
                         "  --> job.json:1:9\n"
                         "   |\n"
                         " 1 | {\"data\":7}\n"
                         "   |         ^ expected an object\n"
                         "   = help: muster man job lists types and ranges\n"},
        {"{\"data\":{}}", "error[E0203]: `data.path` is missing: give a string\n"
                          "  --> job.json:1:9\n"
                          "   |\n"
                          " 1 | {\"data\":{}}\n"
                          "   |         ^\n"
                          "   = help: the folder of the files\n"},
    };
    refusals_are(rows, MU_COUNT_OF(rows));
}

static void every_wrong_type_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *member, *said;
    } rows[] = {
        {"\"nesterov\":1", "`data.nesterov` is an integer"},
        {"\"nesterov\":\"true\"", "`data.nesterov` is a string"},
        {"\"batch\":\"64\"", "`data.batch` is a string"},
        {"\"batch\":null", "`data.batch` is null"},
        {"\"learning_rate\":\"1\"", "`data.learning_rate` is a string"},
        {"\"learning_rate\":11", "`data.learning_rate` is out of range"},
        {"\"path\":[]", "`data.path` is an array"},
        {"\"path\":\"0123456789abcdef\"", "expected at most 15 bytes"},
        {"\"kind\":{}", "`data.kind` is an object"},
        {"\"widths\":5", "`data.widths` is an integer"},
        {"\"widths\":[1,2.5]", "expected a list of integers, each 1 to 1000000"},
        {"\"widths\":[1,0]", "`data.widths` is out of range"},
        {"\"widths\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "expected at most 16 integers"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        char text[256];
        mu_format(text, sizeof(text), "{\"data\":{%s}}", rows[i].member);
        mu_test_log_init(&said);
        assert_int_equal(read_sample(text, NULL), MU_CONFIG);
        assert_said(&said, "error[E0203]: ");
        assert_said(&said, rows[i].said);
    }
}

static void required_row_is_missed_without_an_object_too(void **state)
{
    (void)state;
    assert_int_equal(read_sample("{}", NULL), MU_CONFIG);
    assert_said(&said, "`data.path` is missing");
    mu_test_log_init(&said);
    assert_int_equal(
        mu_options_read(&said.log, NULL, NULL, "data", sample_rows, NULL, &sample), MU_CONFIG);
    assert_string_equal(said.text, "error[E0203]: `data.path` is missing: give a string\n"
                                   "  = help: the folder of the files\n");
}

static void an_integer_may_have_a_word(void **state)
{
    (void)state;
    static const struct mu_option rows[] = {
        {.name = "batch",
            .type = MU_OPTION_INTEGER,
            .offset = offsetof(struct sample, batch),
            .max = 9,
            .fallback = "3",
            .choices = "auto",
            .doc = "samples"},
        {.name = NULL},
    };
    struct mu_log *log = mu_test_log_init(&said);
    struct mu_json *json;
    struct mu_text text;
    static const char good[] = "{\"batch\":\"auto\"}", bad[] = "{\"batch\":\"atuo\"}";
    assert_ok(mu_json_parse(log, MU_E0201, "job.json", good, strlen(good), &json));
    assert_ok(mu_options_read(log, json, mu_json_root(json), "", rows, NULL, &sample));
    assert_int_equal(sample.batch, -1);
    mu_text_init(&text);
    mu_options_write(rows, &sample, &text);
    assert_string_equal(text.data, "\"batch\":\"auto\"");
    mu_text_finish(&text);
    mu_json_destroy(json);
    assert_ok(mu_json_parse(log, MU_E0201, "job.json", bad, strlen(bad), &json));
    assert_int_equal(
        mu_options_read(log, json, mu_json_root(json), "", rows, NULL, &sample), MU_CONFIG);
    assert_said(&said, "expected an integer, 0 to 9, or auto");
    mu_json_destroy(json);
    assert_ok(mu_options_set(log, "--batch", rows, "auto", &sample));
    assert_int_equal(sample.batch, -1);
    assert_ok(mu_options_set(log, "--batch", rows, "7", &sample));
    assert_int_equal(sample.batch, 7);
    assert_int_equal(mu_options_set(log, "--batch", rows, "-1", &sample), MU_USAGE);
}

static void a_number_may_have_a_word(void **state)
{
    (void)state;
    static const struct mu_option rows[] = {
        {.name = "learning_rate",
            .type = MU_OPTION_REAL,
            .offset = offsetof(struct sample, rate),
            .max = 9,
            .fallback = "auto",
            .choices = "auto",
            .doc = "of a step"},
        {.name = NULL},
    };
    struct mu_log *log = mu_test_log_init(&said);
    struct mu_json *json;
    struct mu_text text;
    static const char good[] = "{\"learning_rate\":\"auto\"}";
    static const char bad[] = "{\"learning_rate\":\"atuo\"}";
    mu_options_defaults(rows, &sample);
    assert_true(sample.rate == -1);
    sample.rate = 0;
    assert_ok(mu_json_parse(log, MU_E0201, "job.json", good, strlen(good), &json));
    assert_ok(mu_options_read(log, json, mu_json_root(json), "", rows, NULL, &sample));
    assert_true(sample.rate == -1);
    mu_text_init(&text);
    mu_options_write(rows, &sample, &text);
    assert_string_equal(text.data, "\"learning_rate\":\"auto\"");
    mu_text_finish(&text);
    mu_json_destroy(json);
    assert_ok(mu_json_parse(log, MU_E0201, "job.json", bad, strlen(bad), &json));
    assert_int_equal(
        mu_options_read(log, json, mu_json_root(json), "", rows, NULL, &sample), MU_CONFIG);
    assert_said(&said, "expected a number, 0 to 9, or auto");
    mu_json_destroy(json);
    assert_ok(mu_options_set(log, "--lr", rows, "0.5", &sample));
    assert_true(sample.rate == 0.5);
    assert_ok(mu_options_set(log, "--lr", rows, "auto", &sample));
    assert_true(sample.rate == -1);
    assert_int_equal(mu_options_set(log, "--lr", rows, "-1", &sample), MU_USAGE);
}

static void written_options_read_back(void **state)
{
    (void)state;
    struct mu_text text;
    mu_text_init(&text);
    assert_ok(
        read_sample("{\"data\":{\"path\":\"a\\nb\",\"learning_rate\":0.1,\"widths\":[]}}", NULL));
    struct sample before = sample;
    mu_text_add(&text, "{\"data\":{");
    mu_options_write(sample_rows, &before, &text);
    mu_text_add(&text, "}}");
    setup(NULL);
    assert_ok(read_sample(text.data, NULL));
    assert_string_equal(sample.path, before.path);
    assert_true(sample.rate == before.rate);
    assert_int_equal(sample.widths.count, 0);
    mu_text_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(members_set_every_type, setup),
        cmocka_unit_test_setup(absent_members_keep_their_defaults, setup),
        cmocka_unit_test_setup(keys_of_the_caller_are_left_to_it, setup),
        cmocka_unit_test_setup(wrong_keys_are_refused_with_the_nearest, setup),
        cmocka_unit_test_setup(wrong_values_are_refused_with_the_range, setup),
        cmocka_unit_test_setup(every_wrong_type_is_named, setup),
        cmocka_unit_test_setup(required_row_is_missed_without_an_object_too, setup),
        cmocka_unit_test_setup(an_integer_may_have_a_word, setup),
        cmocka_unit_test_setup(a_number_may_have_a_word, setup),
        cmocka_unit_test_setup(written_options_read_back, setup),
    };
    return cmocka_run_group_tests_name("options_read", tests, NULL, NULL);
}
