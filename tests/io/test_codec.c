/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/random.h"
#include "runtime/io/codec.h"
#include "runtime/io/frame.h"
#include "test.h"
#include <malloc.h>
#include <math.h>

static struct mu_decoder *decoder;

static int make_decoder(void **state)
{
    (void)state;
    return mu_decoder_create(&decoder) == MU_OK ? 0 : -1;
}

static int drop_decoder(void **state)
{
    (void)state;
    mu_decoder_destroy(decoder);
    return 0;
}

static size_t write_sample(uint8_t *out, size_t capacity)
{
    static const int64_t values[] = {0, -1, INT64_MIN, INT64_MAX};
    struct mu_body body;
    mu_body_begin(&body, out, capacity, 7);
    mu_body_put_int(&body, "int", -7);
    mu_body_put_uint(&body, "uint", UINT64_MAX);
    mu_body_put_real(&body, "real", -0.5);
    mu_body_put_text(&body, "text", "worker/1");
    mu_body_put_ints(&body, "ints", values, 4);
    mu_body_put_ints(&body, "none", NULL, 0);
    mu_body_put_bytes(&body, "bytes", "a\0b", 3);
    assert_false(body.failed);
    return body.bytes;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint8_t memory[MU_BODY_SMALL];
    size_t bytes = write_sample(memory, sizeof(memory));
    int64_t value, values[4];
    uint64_t large;
    double real;
    char text[16];
    size_t count;
    assert_ok(mu_decoder_read(decoder, memory, bytes));
    assert_true(mu_decoder_int(decoder, "int", -7, -7, &value) && value == -7);
    assert_true(mu_decoder_uint(decoder, "uint", &large) && large == UINT64_MAX);
    assert_true(mu_decoder_real(decoder, "real", &real) && real == -0.5);
    assert_true(mu_decoder_text(decoder, "text", text, sizeof(text)));
    assert_string_equal(text, "worker/1");
    assert_true(mu_decoder_ints(decoder, "ints", values, 4, &count) && count == 4);
    assert_true(values[2] == INT64_MIN && values[3] == INT64_MAX);
    assert_true(mu_decoder_ints(decoder, "none", values, 4, &count) && count == 0);
    assert_true(mu_decoder_bytes(decoder, "bytes", text, 3));
    assert_memory_equal(text, "a\0b", 3);
}

static void a_field_that_does_not_fit_is_not_there(void **state)
{
    (void)state;
    uint8_t memory[MU_BODY_SMALL];
    size_t bytes = write_sample(memory, sizeof(memory));
    int64_t value = 5, values[4];
    uint64_t large = 5;
    double real = 5;
    char text[8] = "kept";
    size_t count = 9;
    assert_ok(mu_decoder_read(decoder, memory, bytes));
    assert_false(mu_decoder_int(decoder, "int", -6, 6, &value));
    assert_false(mu_decoder_int(decoder, "uint", INT64_MIN, INT64_MAX, &value));
    assert_false(mu_decoder_int(decoder, "absent", INT64_MIN, INT64_MAX, &value));
    assert_false(mu_decoder_uint(decoder, "int", &large));
    assert_false(mu_decoder_real(decoder, "int", &real));
    assert_false(mu_decoder_text(decoder, "text", text, 8)); /* needs 9 */
    assert_false(mu_decoder_text(decoder, "int", text, 8));
    assert_false(mu_decoder_ints(decoder, "ints", values, 3, &count));
    assert_false(mu_decoder_ints(decoder, "text", values, 4, &count));
    assert_true(value == 5 && large == 5 && real == 5 && count == 9);
    assert_string_equal(text, "kept");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t memory[MU_BODY_SMALL];
    size_t bytes = write_sample(memory, sizeof(memory));
    assert_true(mu_body_scan(memory, bytes));
    for (size_t i = 0; i < bytes; i++) {
        assert_false(mu_body_scan(memory, i));
        uint8_t *exact = malloc(i + 1); /* for the sanitizer to see a byte too many */
        memcpy(exact + 1, memory, i);
        assert_int_equal(mu_decoder_read(decoder, exact + 1, i), i == 0 ? MU_OK : MU_PROTOCOL);
        free(exact);
    }
    memory[bytes] = 0xc0;
    assert_false(mu_body_scan(memory, bytes + 1));
}

static void a_body_that_does_not_fit_says_so_at_every_capacity(void **state)
{
    (void)state;
    uint8_t memory[MU_BODY_SMALL], room[MU_BODY_SMALL];
    size_t bytes = write_sample(memory, sizeof(memory));
    for (size_t capacity = 0; capacity < bytes; capacity++) {
        struct mu_body body;
        memset(room, 0xaa, sizeof(room));
        mu_body_begin(&body, room, capacity, 2);
        mu_body_put_text(&body, "k", "a text that is longer than what is left, at any capacity");
        for (int i = 0; i < 40; i++)
            mu_body_put_int(&body, "key", INT64_MAX);
        assert_true(body.failed);
        assert_true(body.bytes <= capacity);
        assert_int_equal(room[capacity], 0xaa);
    }
}

/* ---- what claims more than it has ---- */

struct bomb {
    const char *why;
    const char *data;
    size_t bytes;
};

#define BOMB(why, text)                                                                            \
    {                                                                                              \
        why, text, sizeof(text) - 1                                                                \
    }
static const struct bomb bombs[] = {
    BOMB("an array of 2^29", "\xdd\x20\x00\x00\x00"),
    BOMB("an array of 2^32 - 1", "\xdd\xff\xff\xff\xff"),
    BOMB("a map of 2^31", "\xdf\x80\x00\x00\x00"),
    BOMB("a map of 2^32 - 1", "\xdf\xff\xff\xff\xff"),
    BOMB("a map in a map", "\x81\xa1k\xdf\x7f\xff\xff\xff"),
    BOMB("a string of 2^32 - 1", "\x81\xa1k\xdb\xff\xff\xff\xff"),
    BOMB("binary data of 2^32 - 1", "\x81\xa1k\xc6\xff\xff\xff\xff"),
    BOMB("an extension of 2^32 - 1", "\x81\xa1k\xc9\xff\xff\xff\xff\x01"),
    BOMB("the byte that is never used", "\x81\xa1k\xc1"),
    BOMB("a length that is cut", "\x81\xa1k\xdb\xff\xff"),
    BOMB("a key that is no text", "\x81\x01\x02"),
    BOMB("a key twice", "\x82\xa1k\x01\xa1k\x02"),
    BOMB("an array at the top", "\x91\x01"),
    BOMB("a number at the top", "\x01"),
    BOMB("a text at the top", "\xa3key"),
    BOMB("two maps", "\x81\xa1k\x01\x80"),
    BOMB("a map that lacks a value", "\x82\xa1k\x01\xa1l"),
};

static void bombs_are_refused_and_cost_nothing(void **state)
{
    (void)state;
    size_t before = (size_t)mallinfo2().uordblks;
    for (size_t i = 0; i < MU_COUNT_OF(bombs); i++)
        if (mu_decoder_read(decoder, bombs[i].data, bombs[i].bytes) != MU_PROTOCOL)
            fail_msg("%s was taken", bombs[i].why);
    assert_true((size_t)mallinfo2().uordblks <= before + 4096);
}

/* A map that holds `depth` - 1 arrays, one in the other. */
static bool nested_scans(int depth)
{
    uint8_t memory[256] = {0x81, 0xa1, 'k'};
    size_t bytes = 3;
    for (int i = 1; i < depth; i++)
        memory[bytes++] = 0x91;
    memory[bytes++] = 0x01;
    bool scanned = mu_body_scan(memory, bytes);
    assert_int_equal(mu_decoder_read(decoder, memory, bytes), scanned ? MU_OK : MU_PROTOCOL);
    return scanned;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    for (int depth = 1; depth <= 200; depth++)
        assert_int_equal(nested_scans(depth), depth <= MU_BODY_DEPTH_MAX);
}

static size_t write_keys(uint8_t *out, size_t capacity, int count)
{
    struct mu_body body;
    mu_body_begin(&body, out, capacity, count);
    for (int i = 0; i < count; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        mu_body_put_int(&body, key, i);
    }
    assert_false(body.failed);
    return body.bytes;
}

static void keys_are_bounded(void **state)
{
    (void)state;
    uint8_t memory[1024];
    assert_ok(mu_decoder_read(decoder, memory, write_keys(memory, sizeof(memory), 64)));
    assert_int_equal(
        mu_decoder_read(decoder, memory, write_keys(memory, sizeof(memory), 65)), MU_PROTOCOL);
    static uint8_t large[MU_FRAME_BODY_MAX + 1];
    assert_int_equal(mu_decoder_read(decoder, large, sizeof(large)), MU_PROTOCOL);
}

static void after_a_refused_body_there_are_no_fields(void **state)
{
    (void)state;
    int64_t value;
    assert_ok(mu_decoder_read(decoder, "\x81\xa1k\x05", 4));
    assert_true(mu_decoder_int(decoder, "k", 0, 9, &value));
    assert_int_equal(mu_decoder_read(decoder, "\xc1", 1), MU_PROTOCOL);
    assert_false(mu_decoder_int(decoder, "k", 0, 9, &value));
    assert_ok(mu_decoder_read(decoder, NULL, 0));
    assert_false(mu_decoder_int(decoder, "k", 0, 9, &value));
}

static void a_text_with_a_nul_is_not_a_text(void **state)
{
    (void)state;
    char text[16];
    assert_ok(mu_decoder_read(decoder,
        "\x81\xa1k\xa3"
        "a\0b",
        7));
    assert_false(mu_decoder_text(decoder, "k", text, sizeof(text)));
}

static void garbage_never_does_harm(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 11);
    for (int i = 0; i < 200000; i++) {
        uint8_t memory[40];
        size_t bytes = (size_t)mu_random_below(&random, sizeof(memory)) + 1;
        for (size_t j = 0; j < bytes; j++)
            memory[j] = (uint8_t)mu_random_below(&random, 256);
        memory[0] = (uint8_t)(0x80 | (memory[0] & 3));
        bool scanned = mu_body_scan(memory, bytes);
        enum mu_status status = mu_decoder_read(decoder, memory, bytes);
        assert_true(scanned || status == MU_PROTOCOL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_field_that_does_not_fit_is_not_there),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_body_that_does_not_fit_says_so_at_every_capacity),
        cmocka_unit_test(bombs_are_refused_and_cost_nothing),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(after_a_refused_body_there_are_no_fields),
        cmocka_unit_test(a_text_with_a_nul_is_not_a_text),
        cmocka_unit_test(garbage_never_does_harm),
    };
    return cmocka_run_group_tests(tests, make_decoder, drop_decoder);
}
