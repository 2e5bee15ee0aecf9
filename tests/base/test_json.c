/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"
#include "test.h"
#include <time.h>
#include <unistd.h>

static struct mu_test_log said;
static struct mu_json *json;

static int setup(void **state)
{
    (void)state;
    mu_test_log_init(&said);
    json = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mu_json_destroy(json);
    return 0;
}

static const mu_json_value *parse(const char *text)
{
    mu_json_destroy(json);
    json = NULL;
    assert_ok(mu_json_parse(&said.log, MU_E0102, "$TF_CONFIG", text, strlen(text), &json));
    return mu_json_root(json);
}

static void values_have_their_types(void **state)
{
    (void)state;
    const mu_json_value *root = parse(" {\"n\":null,\"b\":true,\"f\":false,\"i\":-7,\"r\":2.5,"
                                      "\"s\":\"x\\u00e9\",\"a\":[1,[2]],\"o\":{\"k\":1}}\n");
    assert_int_equal(mu_json_type(root), MU_JSON_OBJECT);
    assert_int_equal(mu_json_count(root), 8);
    assert_int_equal(mu_json_type(mu_json_member(root, "n")), MU_JSON_NULL);
    assert_true(mu_json_bool(mu_json_member(root, "b")));
    assert_false(mu_json_bool(mu_json_member(root, "f")));
    assert_int_equal(mu_json_integer(mu_json_member(root, "i")), -7);
    assert_true(mu_json_real(mu_json_member(root, "r")) == 2.5);
    assert_true(mu_json_real(mu_json_member(root, "i")) == -7);
    assert_string_equal(mu_json_string(mu_json_member(root, "s")), "x\xc3\xa9");
    const mu_json_value *array = mu_json_member(root, "a");
    assert_int_equal(mu_json_count(array), 2);
    assert_int_equal(mu_json_integer(mu_json_element(array, 0)), 1);
    assert_int_equal(mu_json_integer(mu_json_element(mu_json_element(array, 1), 0)), 2);
    assert_int_equal(mu_json_count(mu_json_member(root, "o")), 1);
    assert_null(mu_json_member(root, "absent"));
    assert_string_equal(mu_json_source(json), "$TF_CONFIG");
}

static void members_come_in_the_order_of_the_text(void **state)
{
    (void)state;
    const mu_json_value *root = parse("{\"z\":0,\"a\":1,\"m\":2,\"b\":3}");
    static const char *const keys[] = {"z", "a", "m", "b"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(mu_json_key(root, i), keys[i]);
        assert_int_equal(mu_json_integer(mu_json_member_at(root, i)), i);
    }
}

static void scalar_may_be_the_whole_text(void **state)
{
    (void)state;
    assert_int_equal(mu_json_integer(parse("42")), 42);
    assert_string_equal(mu_json_string(parse("\"x\"")), "x");
    assert_int_equal(mu_json_type(parse("null")), MU_JSON_NULL);
}

static void integers_reach_the_ends_of_int64(void **state)
{
    (void)state;
    assert_int_equal(mu_json_integer(parse("9223372036854775807")), INT64_MAX);
    assert_int_equal(mu_json_integer(parse("-9223372036854775808")), INT64_MIN);
}

static void type_names_read_in_a_sentence(void **state)
{
    (void)state;
    assert_string_equal(mu_json_type_name(MU_JSON_STRING), "a string");
    assert_string_equal(mu_json_type_name(MU_JSON_OBJECT), "an object");
    assert_string_equal(mu_json_type_name(MU_JSON_BOOL), "true or false");
}

struct refusal {
    const char *text, *place, *said;
};

static const struct refusal refusals[] = {
    {"", ":1:1", "help: the text is empty"},
    {"{", ":1:2", "not valid JSON: string or '}' expected"},
    {"[1,2", ":1:5", "not valid JSON: ']' expected"},
    {"{\"a\":1,}", ":1:8", "help: remove the comma before it"},
    {"[1,2, ]", ":1:7", "help: remove the comma before it"},
    {"{'a':1}", ":1:2", "help: JSON writes strings in double quotes"},
    {"{cluster:{}}", ":1:2", "help: JSON writes keys in double quotes"},
    {"{\"a\":1}\n// no", ":2:1", "help: JSON has no comments"},
    {"{\"a\":1} {", ":1:9", "not valid JSON: end of file expected"},
    {"{\"a\":1,\n \"a\":2}", ":2:2", "not valid JSON: duplicate object key \"a\""},
    {"[9223372036854775808]", ":1:2", "not valid JSON: too big integer"},
    {"[-9223372036854775809]", ":1:2", "not valid JSON: too big negative integer"},
    {"[1e999]", ":1:2", "not valid JSON: real number overflow"},
    {"[\"\\u0000\"]", ":1:2", "a NUL character (\\u0000) is not allowed"},
    {"[\"\xff\"]", "$TF_CONFIG:1:", "the byte 0xff is not UTF-8"},
    {"\xef\xbb\xbf{}", "$TF_CONFIG:1:", "help: the text starts with a byte order mark"},
    {"[\"a\nb\"]", "$TF_CONFIG:1:", "not valid JSON: unexpected newline"},
    {"[nul]", ":1:2", "not valid JSON: invalid token"},
    {"[NaN]", ":1:2", "not valid JSON: invalid token"},
    {"[01]", "$TF_CONFIG:1:", "not valid JSON: invalid token"},
};

static void every_refusal_says_what_and_where(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *row = &refusals[i];
        mu_test_log_init(&said);
        enum mu_status status =
            mu_json_parse(&said.log, MU_E0102, "$TF_CONFIG", row->text, strlen(row->text), &json);
        assert_int_equal(status, MU_CONFIG);
        assert_null(json);
        assert_said(&said, "error[E0102]: ");
        assert_said(&said, row->place);
        assert_said(&said, row->said);
        assert_null(strstr(said.text, "near '"));
    }
}

static void nul_byte_in_the_text_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mu_json_parse(&said.log, MU_E0201, "job", "[1,\0002]", 6, &json), MU_CONFIG);
    assert_said(&said, "error[E0201]: ");
}

static void nesting_is_limited(void **state)
{
    (void)state;
    char text[2 * MU_JSON_DEPTH_MAX + 3];
    memset(text, '[', MU_JSON_DEPTH_MAX);
    memset(text + MU_JSON_DEPTH_MAX, ']', MU_JSON_DEPTH_MAX);
    text[2 * MU_JSON_DEPTH_MAX] = '\0';
    parse(text);
    memset(text, '[', MU_JSON_DEPTH_MAX + 1);
    memset(text + MU_JSON_DEPTH_MAX + 1, ']', MU_JSON_DEPTH_MAX + 1);
    struct mu_json *deep = NULL;
    assert_int_equal(
        mu_json_parse(&said.log, MU_E0102, "x", text, sizeof(text) - 1, &deep), MU_CONFIG);
    assert_null(deep);
    assert_said(&said, "nests deeper than 32 levels\n  --> x:1:33\n");
}

static void brackets_in_strings_do_not_nest(void **state)
{
    (void)state;
    parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\", "
          "\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]");
}

static char big[MU_JSON_BYTES_MAX + 16];

static void length_is_limited(void **state)
{
    (void)state;
    memset(big, ' ', sizeof(big));
    memcpy(big, "[]", 2);
    assert_ok(mu_json_parse(&said.log, MU_E0102, "x", big, MU_JSON_BYTES_MAX, &json));
    struct mu_json *longer = NULL;
    assert_int_equal(
        mu_json_parse(&said.log, MU_E0102, "x", big, MU_JSON_BYTES_MAX + 1, &longer), MU_CONFIG);
    assert_said(&said, "x has more than 1048576 bytes");
}

static double seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Fills a megabyte: `head`, then `unit` again and again (with its number in it), then `tail`. */
static size_t fill(const char *head, const char *unit, const char *tail)
{
    size_t bytes = (size_t)sprintf(big, "%s", head), number = 0;
    while (bytes + 64 < MU_JSON_BYTES_MAX)
        bytes += (size_t)sprintf(big + bytes, "%s\"%zx\"%s", number ? "," : "", number, unit),
            number++;
    return bytes + (size_t)sprintf(big + bytes, "%s", tail);
}

/* Processor time, not the clock: a busy machine must not fail this. Linear work takes some tens of
 * milliseconds; quadratic work on 100,000 members takes minutes. */
static void megabyte_of_members_is_read_in_linear_time(void **state)
{
    (void)state;
    double start = seconds();
    size_t bytes = fill("{", ":1", "}");
    assert_ok(mu_json_parse(&said.log, MU_E0102, "x", big, bytes, &json));
    const mu_json_value *root = mu_json_root(json);
    int64_t sum = 0;
    for (size_t i = 0; i < mu_json_count(root); i++)
        sum += mu_json_integer(mu_json_member_at(root, i)) + (mu_json_key(root, i)[0] == '\0');
    assert_int_equal(sum, mu_json_count(root));
    char path[32];
    snprintf(path, sizeof(path), "%s", mu_json_key(root, mu_json_count(root) - 1));
    assert_int_equal(mu_json_place(json, path, false).offset, bytes - 2);
    assert_true(seconds() - start < 5);
}

static void file_is_read_whole(void **state)
{
    (void)state;
    char path[] = "test_json_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\": 1}", 8), 8);
    close(fd);
    enum mu_status status = mu_json_read(&said.log, MU_E0201, path, &json);
    unlink(path);
    assert_ok(status);
    assert_int_equal(mu_json_count(mu_json_root(json)), 1);
    assert_string_equal(mu_json_source(json), path);
}

static void file_that_cannot_be_read_is_no_input(void **state)
{
    (void)state;
    assert_int_equal(mu_json_read(&said.log, MU_E0201, "no/such/file", &json), MU_NO_INPUT);
    assert_said(&said, "error[E0002]: cannot read no/such/file: No such file or directory");
    assert_int_equal(mu_json_read(&said.log, MU_E0201, ".", &json), MU_NO_INPUT);
    assert_said(&said, "error[E0002]: cannot read .: Is a directory");
    assert_int_equal(mu_json_read(&said.log, MU_E0201, "/dev/zero", &json), MU_CONFIG);
    assert_said(&said, "error[E0201]: /dev/zero has more than 1048576 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_have_their_types, setup, teardown),
        cmocka_unit_test_setup_teardown(members_come_in_the_order_of_the_text, setup, teardown),
        cmocka_unit_test_setup_teardown(scalar_may_be_the_whole_text, setup, teardown),
        cmocka_unit_test_setup_teardown(integers_reach_the_ends_of_int64, setup, teardown),
        cmocka_unit_test(type_names_read_in_a_sentence),
        cmocka_unit_test_setup_teardown(every_refusal_says_what_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(nul_byte_in_the_text_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nesting_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(brackets_in_strings_do_not_nest, setup, teardown),
        cmocka_unit_test_setup_teardown(length_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(
            megabyte_of_members_is_read_in_linear_time, setup, teardown),
        cmocka_unit_test_setup_teardown(file_is_read_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(file_that_cannot_be_read_is_no_input, setup, teardown),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
