/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "test.h"

static struct mu_test_log said;
static struct mu_json *json;
static struct mu_text canonical;

static int setup(void **state)
{
    (void)state;
    static const char text[] = "{\"train\":{\"seed\":1,\"epochs\":5},\"name\":\"x\",\"list\":[1]}";
    mu_test_log_init(&said);
    mu_text_init(&canonical);
    return mu_json_parse(&said.log, MU_E0201, "job.json", text, strlen(text), &json) != MU_OK;
}

static int teardown(void **state)
{
    (void)state;
    mu_json_destroy(json);
    mu_text_finish(&canonical);
    return 0;
}

static const char *now(void)
{
    mu_text_clear(&canonical);
    mu_json_write_canonical(mu_json_root(json), &canonical);
    return canonical.data;
}

static void value_that_is_json_is_json(void **state)
{
    (void)state;
    assert_ok(mu_json_set(&said.log, json, "train.seed", "7"));
    assert_ok(mu_json_set(&said.log, json, "train.rate", "0.05"));
    assert_ok(mu_json_set(&said.log, json, "train.on", "true"));
    assert_ok(mu_json_set(&said.log, json, "list", "[784, 10]"));
    assert_string_equal(now(), "{\"list\":[784,10],\"name\":\"x\","
                               "\"train\":{\"epochs\":5,\"on\":true,\"rate\":0.05,\"seed\":7}}");
}

static void value_that_is_not_json_is_a_string(void **state)
{
    (void)state;
    assert_ok(mu_json_set(&said.log, json, "name", "data/mnist"));
    assert_ok(mu_json_set(&said.log, json, "train.seed", "007"));
    assert_ok(mu_json_set(&said.log, json, "train.epochs", ""));
    assert_string_equal(now(), "{\"list\":[1],\"name\":\"data/mnist\","
                               "\"train\":{\"epochs\":\"\",\"seed\":\"007\"}}");
}

static void sections_that_are_absent_are_made(void **state)
{
    (void)state;
    assert_ok(mu_json_set(&said.log, json, "data.cache.path", "d"));
    assert_string_equal(now(), "{\"data\":{\"cache\":{\"path\":\"d\"}},\"list\":[1],\"name\":\"x\","
                               "\"train\":{\"epochs\":5,\"seed\":1}}");
}

static void expect_place(const char *path, bool of_key, const char *source, const char *expected)
{
    struct mu_place place = mu_json_place(json, path, of_key);
    assert_string_equal(place.source, source);
    assert_int_equal(place.width, strlen(expected));
    assert_memory_equal(place.text + place.offset, expected, place.width);
    assert_true(place.offset + place.width <= place.bytes);
}

static void what_was_set_has_its_place_on_the_command_line(void **state)
{
    (void)state;
    assert_ok(mu_json_set(&said.log, json, "train.seed", "7"));
    assert_ok(mu_json_set(&said.log, json, "train.seed", "12345"));
    assert_ok(mu_json_set(&said.log, json, "data.cache.path", "d"));
    assert_ok(mu_json_set(&said.log, json, "list", "[5, 6]"));
    expect_place("train.seed", false, "command line", "12345");
    expect_place("train.seed", true, "command line", "train.seed");
    expect_place("list[1]", false, "command line", "[5, 6]");
    expect_place("data.cache", false, "command line", "data.cache.path");
    assert_string_equal(mu_json_place(json, "list", false).text, "--set list=[5, 6]");
    assert_string_equal(mu_json_source(json), "job.json");
}

static void what_was_read_keeps_its_place_in_the_file(void **state)
{
    (void)state;
    size_t before = mu_json_place(json, "train.epochs", false).offset;
    assert_ok(mu_json_set(&said.log, json, "train.seed", "12345"));
    assert_ok(mu_json_set(&said.log, json, "train.seeds", "6"));
    expect_place("train.epochs", false, "job.json", "5");
    expect_place("train.epochs", true, "job.json", "\"epochs\"");
    assert_int_equal(mu_json_place(json, "train.epochs", false).offset, before);
}

static void refused_change_leaves_the_document(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "", ".", "train.", ".train", "train..seed", "name.x", "list.0", "train.seed.x"};
    char before[128];
    mu_text_copy(before, sizeof(before), now());
    for (size_t i = 0; i < MU_COUNT_OF(paths); i++) {
        mu_test_log_init(&said);
        assert_int_equal(mu_json_set(&said.log, json, paths[i], "1"), MU_USAGE);
        assert_said(&said, "error[E0001]: cannot set `");
        assert_said(&said, paths[i]);
        assert_string_equal(now(), before);
    }
    assert_int_equal(mu_json_set(&said.log, json, "name", "\xff"), MU_USAGE);
    assert_said(&said, "not valid UTF-8");
    assert_string_equal(now(), before);
}

static void nesting_and_length_stay_limited(void **state)
{
    (void)state;
    char deep[2 * MU_JSON_DEPTH_MAX + 1];
    memset(deep, '[', MU_JSON_DEPTH_MAX);
    memset(deep + MU_JSON_DEPTH_MAX, ']', MU_JSON_DEPTH_MAX);
    deep[2 * MU_JSON_DEPTH_MAX] = '\0';
    assert_int_equal(mu_json_set(&said.log, json, "train.x", deep), MU_USAGE);
    assert_said(&said, "nests deeper");
    static char longest[MU_JSON_BYTES_MAX];
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(mu_json_set(&said.log, json, "name", longest), MU_USAGE);
    assert_said(&said, "has more than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(value_that_is_json_is_json, setup, teardown),
        cmocka_unit_test_setup_teardown(value_that_is_not_json_is_a_string, setup, teardown),
        cmocka_unit_test_setup_teardown(sections_that_are_absent_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_was_set_has_its_place_on_the_command_line, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_read_keeps_its_place_in_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_change_leaves_the_document, setup, teardown),
        cmocka_unit_test_setup_teardown(nesting_and_length_stay_limited, setup, teardown),
    };
    return cmocka_run_group_tests_name("json_set", tests, NULL, NULL);
}
