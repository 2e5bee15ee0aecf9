/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "test.h"

static struct mu_test_log said;

static void expect(
    void (*write)(const mu_json_value *, struct mu_text *), const char *text, const char *expected)
{
    struct mu_json *json;
    struct mu_text out;
    mu_test_log_init(&said);
    mu_text_init(&out);
    assert_ok(mu_json_parse(&said.log, MU_E0102, "text", text, strlen(text), &json));
    write(mu_json_root(json), &out);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    mu_text_finish(&out);
    mu_json_destroy(json);
}

static void canonical_text_sorts_keys_and_drops_spaces(void **state)
{
    (void)state;
    expect(mu_json_write_canonical, " { \"b\" : [ 1 , { \"z\":0, \"y\":[] } ], \"a\" : {} } ",
        "{\"a\":{},\"b\":[1,{\"y\":[],\"z\":0}]}");
}

static void equal_values_give_equal_canonical_text(void **state)
{
    (void)state;
    static const char *const equal[] = {"[1]", "[1.0]", "[ 1e0 ]", "[10e-1]"};
    for (size_t i = 0; i < MU_COUNT_OF(equal); i++)
        expect(mu_json_write_canonical, equal[i], "[1]");
    expect(mu_json_write_canonical, "[-0.0]", "[0]");
    expect(mu_json_write_canonical, "\"\\u0061\\/\"", "\"a/\"");
}

static void scalars_are_written_as_they_are_read(void **state)
{
    (void)state;
    expect(mu_json_write_canonical, "[true,false,null,-7,0.1,\"q\\\"\\n\"]",
        "[true,false,null,-7,0.1,\"q\\\"\\n\"]");
    expect(mu_json_write_canonical, "9223372036854775807", "9223372036854775807");
}

static void pretty_text_keeps_order_and_indents(void **state)
{
    (void)state;
    expect(mu_json_write_pretty, "{\"b\":{\"w\":[784,10],\"e\":{}},\"a\":[],\"l\":[[1],[2]]}",
        "{\n"
        "  \"b\": {\n"
        "    \"w\": [784, 10],\n"
        "    \"e\": {}\n"
        "  },\n"
        "  \"a\": [],\n"
        "  \"l\": [\n"
        "    [1],\n"
        "    [2]\n"
        "  ]\n"
        "}\n");
}

static void pretty_text_keeps_reals_real(void **state)
{
    (void)state;
    expect(mu_json_write_pretty, "[1.0,2.5,1e300,3]", "[1.0, 2.5, 1e+300, 3]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text_sorts_keys_and_drops_spaces),
        cmocka_unit_test(equal_values_give_equal_canonical_text),
        cmocka_unit_test(scalars_are_written_as_they_are_read),
        cmocka_unit_test(pretty_text_keeps_order_and_indents),
        cmocka_unit_test(pretty_text_keeps_reals_real),
    };
    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
