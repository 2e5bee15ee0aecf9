/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "runtime/base/json_scan.h"
#include "test.h"
#include <stdio.h>

static struct mu_test_log said;

/* The piece of `text` that the path leads to must be `expected`; NULL: the start, without width. */
static void expect(const char *text, const char *path, bool of_key, const char *expected)
{
    struct mu_json *json;
    mu_test_log_init(&said);
    assert_ok(mu_json_parse(&said.log, MU_E0102, "text", text, strlen(text), &json));
    struct mu_place place = mu_json_place(json, path, of_key);
    assert_int_equal(place.bytes, strlen(text));
    if (!expected) {
        assert_int_equal(place.offset, 0);
        assert_int_equal(place.width, 0);
    } else {
        assert_int_equal(place.width, strlen(expected));
        assert_memory_equal(place.text + place.offset, expected, place.width);
    }
    mu_json_destroy(json);
}

static const char spec[] = "{ \"cluster\" : { \"worker\" :\n [ \"a:1\" , \"b:2\", \"]\\\"{:3\" ],\n"
                           "  \"ps\": {\"deep\": [[1, 2], [ 3,-4.5e1 ]]} },\n"
                           "  \"task\":{\"type\":\"worker\",\"index\":0, \"on\":true} }";

static void paths_lead_to_values(void **state)
{
    (void)state;
    expect(spec, "task.type", false, "\"worker\"");
    expect(spec, ".task.index", false, "0");
    expect(spec, "task.on", false, "true");
    expect(spec, "cluster.worker[0]", false, "\"a:1\"");
    expect(spec, "cluster.worker[1]", false, "\"b:2\"");
    expect(spec, "cluster.worker[2]", false, "\"]\\\"{:3\"");
    expect(spec, "cluster.ps.deep[0][1]", false, "2");
    expect(spec, "cluster.ps.deep[1]", false, "[ 3,-4.5e1 ]");
    expect(spec, "cluster.ps.deep[1][1]", false, "-4.5e1");
    expect(spec, "cluster.ps", false, "{\"deep\": [[1, 2], [ 3,-4.5e1 ]]}");
}

static void paths_lead_to_keys(void **state)
{
    (void)state;
    expect(spec, "cluster", true, "\"cluster\"");
    expect(spec, "cluster.ps.deep", true, "\"deep\"");
    expect(spec, "task.on", true, "\"on\"");
    expect(spec, "cluster.worker[1]", true, "\"b:2\""); /* an element has no key */
}

static void root_is_the_empty_path(void **state)
{
    (void)state;
    expect("  [1] ", "", false, "[1]");
    expect("\n7\n", "", true, "7");
    expect(" \"x\"", "", false, "\"x\"");
}

static void path_to_nothing_falls_back_to_the_start(void **state)
{
    (void)state;
    static const char *const nowhere[] = {"absent", "task.absent", "cluster.worker[3]",
        "cluster.worker[x]", "cluster.worker[", "cluster.worker[0", "cluster.worker.a", "task[0]",
        "cluster.worker[0].x", "cluster.worker[99999999999999999999]", "[0]", ".", "cluster.",
        ".."};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
        expect(spec, nowhere[i], false, NULL);
}

static void keys_may_have_dots_brackets_and_escapes(void **state)
{
    (void)state;
    expect("{\"a\":{\"b\":1},\"a.b\":2}", "a.b", false, "2"); /* the longest key that fits */
    expect("{\"a[0]\":1,\"x\":2}", "a[0]", true, "\"a[0]\"");
    expect("{\"\\u0061\\\"\":1, \"b\":2}", "a\"", true, "\"\\u0061\\\"\"");
    expect("{\"\\\\\":1, \"b\":2}", "b", false, "2");
}

static void scans_end_on_text_that_is_not_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\"", "\"\\", "\"abc\\\"", "{", "[[[", "]", "}}", "a",
        "[\"", "{\"a\":", ",", ":", "\\", "[1,2", "\xff"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t bytes = strlen(texts[i]);
        for (size_t at = 0; at < bytes; at++) {
            assert_in_range(mu_json_scan_value(texts[i], bytes, at), at + 1, bytes);
            assert_in_range(mu_json_scan_string(texts[i], bytes, at), at + 1, bytes);
            assert_in_range(mu_json_scan_space(texts[i], bytes, at), at, bytes);
        }
        assert_int_equal(mu_json_scan_value(texts[i], bytes, bytes), bytes);
        assert_int_equal(mu_json_scan_string(texts[i], bytes, bytes), bytes);
        assert_int_equal(mu_json_scan_depth(texts[i], bytes, 32), bytes);
    }
}

static void character_that_is_not_allowed_names_its_element(void **state)
{
    (void)state;
    static const struct {
        const char *value, *said;
    } rows[] = {
        {"\"a\\u0000b:22\"", "worker[1]: a NUL character (\\u0000) is not allowed here"},
        {"\"a\x01z:22\"", "worker[1]: the control character 0x01 is not allowed in a string"},
        {"\"a\xff:22\"", "worker[1]: the byte 0xff is not UTF-8"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_json *json;
        char text[128];
        snprintf(text, sizeof(text), "{\"task\": 0, \"cluster\": {\"worker\": [\"x,]:1\",\n %s]}}",
            rows[i].value);
        mu_test_log_init(&said);
        assert_int_equal(
            mu_json_parse(&said.log, MU_E0102, "text", text, strlen(text), &json), MU_CONFIG);
        assert_said(&said, "error[E0102]: cluster.worker");
        assert_said(&said, rows[i].said);
        assert_said(&said, "--> text:2:");
        assert_null(strstr(said.text, "JSON_ALLOW"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_to_values),
        cmocka_unit_test(paths_lead_to_keys),
        cmocka_unit_test(root_is_the_empty_path),
        cmocka_unit_test(character_that_is_not_allowed_names_its_element),
        cmocka_unit_test(path_to_nothing_falls_back_to_the_start),
        cmocka_unit_test(keys_may_have_dots_brackets_and_escapes),
        cmocka_unit_test(scans_end_on_text_that_is_not_json),
    };
    return cmocka_run_group_tests_name("json_place", tests, NULL, NULL);
}
