/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/text.h"
#include "test.h"

static struct mu_text text;

static int setup(void **state)
{
    (void)state;
    mu_text_init(&text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mu_text_finish(&text);
    return 0;
}

static void empty_text_is_an_empty_string(void **state)
{
    (void)state;
    assert_string_equal(text.data, "");
    assert_int_equal(text.bytes, 0);
    mu_text_clear(&text);
    mu_text_append(&text, NULL, 0);
    assert_string_equal(text.data, "");
}

static void text_grows_over_every_capacity(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        mu_text_append(&text, "abcdefg", 7);
        assert_int_equal(text.bytes, 7 * (i + 1));
        assert_int_equal(strlen(text.data), text.bytes);
        assert_true(text.bytes < text.capacity);
    }
    assert_false(text.failed);
}

static void formats_longer_than_the_capacity_fit(void **state)
{
    (void)state;
    for (int columns = 0; columns < 300; columns++) {
        mu_text_clear(&text);
        mu_text_add(&text, "%*d", columns, 7);
        assert_int_equal(text.bytes, columns > 0 ? columns : 1);
        assert_int_equal(text.data[text.bytes - 1], '7');
    }
}

static void cleared_text_keeps_its_memory(void **state)
{
    (void)state;
    mu_text_add(&text, "something");
    size_t capacity = text.capacity;
    mu_text_clear(&text);
    assert_string_equal(text.data, "");
    assert_int_equal(text.capacity, capacity);
}

static void json_string(const char *string, const char *expected)
{
    mu_text_clear(&text);
    mu_text_add_json_string(&text, string);
    assert_string_equal(text.data, expected);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    json_string("", "\"\"");
    json_string("plain", "\"plain\"");
    json_string("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    json_string("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    json_string("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
    json_string("\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    json_string("a\xff"
                "b\xc3",
        "\"a\xef\xbf\xbd"
        "b\xef\xbf\xbd\"");
}

static void utf8_follows_the_table_of_well_formed_bytes(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\x80",
        "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff", "a\xfe"};
    for (size_t i = 0; i < MU_COUNT_OF(good); i++)
        assert_true(mu_text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < MU_COUNT_OF(bad); i++)
        assert_false(mu_text_is_utf8(bad[i], strlen(bad[i])));
    assert_int_equal(mu_text_utf8_bytes("", 0), 0);
    assert_int_equal(mu_text_utf8_bytes("\xe2\x82\xac!", 4), 3);
}

static void copies_are_cut_between_characters(void **state)
{
    (void)state;
    char out[6];
    mu_text_copy(out, sizeof(out), "abc");
    assert_string_equal(out, "abc");
    mu_text_copy(out, sizeof(out), "abcde");
    assert_string_equal(out, "abcde");
    mu_text_copy(out, sizeof(out), "abcdef");
    assert_string_equal(out, "abcde");
    mu_text_copy(out, sizeof(out), "abc\xe2\x82\xac");
    assert_string_equal(out, "abc");
    mu_text_copy(out, sizeof(out), "ab\xe2\x82\xac");
    assert_string_equal(out, "ab\xe2\x82\xac");
    mu_text_copy(out, 1, "abc");
    assert_string_equal(out, "");
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(mu_text_distance("", "", 9), 0);
    assert_int_equal(mu_text_distance("worker", "worker", 9), 0);
    assert_int_equal(mu_text_distance("workers", "worker", 9), 1);
    assert_int_equal(mu_text_distance("", "abc", 9), 3);
    assert_int_equal(mu_text_distance("abc", "", 9), 3);
    assert_int_equal(mu_text_distance("wroker", "worker", 9), 1); /* two letters swapped */
    assert_int_equal(mu_text_distance("kitten", "sitting", 9), 3);
    assert_int_equal(mu_text_distance("ca", "abc", 9), 3);        /* optimal string alignment */
    assert_int_equal(mu_text_distance("momentum", "adam", 2), 3); /* at most + 1 */
}

static void distance_of_long_names_is_bounded(void **state)
{
    (void)state;
    char a[200], b[200];
    memset(a, 'a', sizeof(a));
    memset(b, 'a', sizeof(b));
    a[199] = b[199] = '\0';
    assert_int_equal(mu_text_distance(a, b, 2), 0);
    b[100] = 'b';
    assert_int_equal(mu_text_distance(a, b, 2), 3);
    a[64] = b[64] = '\0';
    b[10] = 'b';
    assert_int_equal(mu_text_distance(a, b, 2), 1);
}

static void nearest_name_is_suggested(void **state)
{
    (void)state;
    static const char *const names[] = {"chief", "worker", "ps", "evaluator"};
    assert_string_equal(mu_text_nearest("workers", names, 4), "worker");
    assert_string_equal(mu_text_nearest("evalutaor", names, 4), "evaluator");
    assert_string_equal(mu_text_nearest("px", names, 4), "ps");
    assert_null(mu_text_nearest("pxy", names, 4)); /* too short for two edits */
    assert_null(mu_text_nearest("master", names, 4));
    assert_null(mu_text_nearest("worker", names, 0));
    static const char *const close[] = {"rate_min", "rate_max", "rate"};
    assert_string_equal(mu_text_nearest("rate_mix", close, 3), "rate_min");
    assert_string_equal(mu_text_nearest("rte", close, 3), "rate");
}

static void names_have_no_path_in_them(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = '\0';
    assert_false(mu_text_is_name(longest));
    longest[64] = '\0';
    assert_true(mu_text_is_name(longest));
    assert_true(mu_text_is_name("mnist-sync_2.1"));
    assert_true(mu_text_is_name("7"));
    static const char *const bad[] = {
        "", ".", "..", ".hidden", "-flag", "_x", "a/b", "a b", "a\n", "\xc3\xa9", "a\\b"};
    for (size_t i = 0; i < MU_COUNT_OF(bad); i++)
        assert_false(mu_text_is_name(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_text_is_an_empty_string, setup, teardown),
        cmocka_unit_test_setup_teardown(text_grows_over_every_capacity, setup, teardown),
        cmocka_unit_test_setup_teardown(formats_longer_than_the_capacity_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(cleared_text_keeps_its_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(json_strings_are_escaped, setup, teardown),
        cmocka_unit_test(utf8_follows_the_table_of_well_formed_bytes),
        cmocka_unit_test(copies_are_cut_between_characters),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(distance_of_long_names_is_bounded),
        cmocka_unit_test(nearest_name_is_suggested),
        cmocka_unit_test(names_have_no_path_in_them),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
