/* SPDX-License-Identifier: Apache-2.0 */
/* The half of text.c that turns numbers, times and amounts into text and back. */
#include "runtime/base/random.h"
#include "runtime/base/text.h"
#include "test.h"
#include <float.h>
#include <math.h>

static struct mu_text text;

static int teardown(void **state)
{
    (void)state;
    mu_text_finish(&text);
    return 0;
}

static const char *of_double(double value)
{
    mu_text_finish(&text);
    mu_text_add_double(&text, value);
    return text.data;
}

static void doubles_are_as_short_as_can_be(void **state)
{
    (void)state;
    assert_string_equal(of_double(0.1), "0.1");
    assert_string_equal(of_double(0.05), "0.05");
    assert_string_equal(of_double(1), "1");
    assert_string_equal(of_double(-2.5), "-2.5");
    assert_string_equal(of_double(1e300), "1e+300");
    assert_string_equal(of_double(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(of_double(16777216), "16777216");
    assert_string_equal(of_double((double)0.1f), "0.10000000149011612");
}

static void what_json_cannot_say_is_null(void **state)
{
    (void)state;
    assert_string_equal(of_double((double)NAN), "null");
    assert_string_equal(of_double((double)INFINITY), "null");
    assert_string_equal(of_double((double)-INFINITY), "null");
}

static void doubles_read_back_bit_for_bit(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 8);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = mu_random_next(&random);
        double value, back;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value)) {
            back = strtod(of_double(value), NULL);
            assert_memory_equal(&back, &value, sizeof(value));
        }
    }
    assert_true(strtod(of_double(DBL_TRUE_MIN), NULL) == DBL_TRUE_MIN);
    assert_true(strtod(of_double(DBL_MAX), NULL) == DBL_MAX);
}

static void durations_fit_their_size(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {{0, "0 ns"}, {999, "999 ns"}, {250000, "250 us"}, {420000000, "420 ms"},
        {3500000000, "3.5 s"}, {59999999999, "59.9 s"}, {72000000000, "1m12s"},
        {3599000000000, "59m59s"}, {7380000000000, "2h03m"}, {-3500000000, "-3.5 s"},
        {INT64_MIN, "-2562047h47m"}, {INT64_MAX, "2562047h47m"}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        char out[32];
        mu_text_duration(out, sizeof(out), rows[i].ns);
        assert_string_equal(out, rows[i].text);
    }
}

static void amounts_of_bytes_have_binary_units(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"}, {812, "812 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {4096, "4.0 KiB"},
        {1048575, "1.0 MiB"}, {2831155, "2.7 MiB"}, {UINT64_C(1) << 40, "1.0 TiB"},
        {UINT64_MAX, "16.0 EiB"}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        char out[32];
        mu_text_bytes(out, sizeof(out), rows[i].bytes);
        assert_string_equal(out, rows[i].text);
    }
}

static void times_are_utc_with_milliseconds(void **state)
{
    (void)state;
    char out[32];
    mu_text_time(out, sizeof(out), 0);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    mu_text_time(out, sizeof(out), INT64_C(1795300801123999999));
    assert_string_equal(out, "2026-11-21T22:40:01.123Z");
    mu_text_time(out, sizeof(out), -1);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    mu_text_time(out, sizeof(out), INT64_MAX);
    assert_string_equal(out, "2262-04-11T23:47:16.854Z");
}

static void whole_numbers_are_read_strictly(void **state)
{
    (void)state;
    int64_t value = 77;
    assert_true(mu_text_to_int64("0", &value) && value == 0);
    assert_true(mu_text_to_int64("-42", &value) && value == -42);
    assert_true(mu_text_to_int64("007", &value) && value == 7);
    assert_true(mu_text_to_int64("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(mu_text_to_int64("-9223372036854775808", &value) && value == INT64_MIN);
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "--1", "abc",
        "9223372036854775808", "-9223372036854775809", "1\n"};
    value = 77;
    for (size_t i = 0; i < MU_COUNT_OF(bad); i++)
        assert_false(mu_text_to_int64(bad[i], &value));
    assert_int_equal(value, 77);
}

static void reals_are_read_strictly(void **state)
{
    (void)state;
    double value = 77;
    assert_true(mu_text_to_double("0.05", &value) && value == 0.05);
    assert_true(mu_text_to_double("-1e-3", &value) && value == -1e-3);
    assert_true(mu_text_to_double("3", &value) && value == 3);
    assert_true(mu_text_to_double(".5", &value) && value == 0.5);
    assert_true(mu_text_to_double("1e-400", &value) && value == 0);
    static const char *const bad[] = {"", "nan", "inf", "-inf", "infinity", "0x1p3", " 1", "1 ",
        "1e", "e", ".", "-", "1.2.3", "1e400", "1f"};
    value = 77;
    for (size_t i = 0; i < MU_COUNT_OF(bad); i++)
        assert_false(mu_text_to_double(bad[i], &value));
    assert_true(value == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(doubles_are_as_short_as_can_be, teardown),
        cmocka_unit_test_teardown(what_json_cannot_say_is_null, teardown),
        cmocka_unit_test_teardown(doubles_read_back_bit_for_bit, teardown),
        cmocka_unit_test(durations_fit_their_size),
        cmocka_unit_test(amounts_of_bytes_have_binary_units),
        cmocka_unit_test(times_are_utc_with_milliseconds),
        cmocka_unit_test(whole_numbers_are_read_strictly),
        cmocka_unit_test(reals_are_read_strictly),
    };
    mu_text_init(&text);
    return cmocka_run_group_tests_name("text_numbers", tests, NULL, NULL);
}
