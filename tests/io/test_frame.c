/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/frame.h"
#include "test.h"

static const struct mu_frame full = {
    .type = MU_FRAME_PUSH,
    .flags = 0xbeef,
    .generation = 0x01020304,
    .tag = 0x1122334455667788,
    .body_bytes = 3,
    .payload_bytes = 1000,
};

static void a_header_is_little_endian_and_documented(void **state)
{
    (void)state;
    static const uint8_t expected[28] = {'M', 'U', 'S', 'T', 1, MU_FRAME_PUSH, 0xef, 0xbe, 4, 3, 2,
        1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 3, 0, 0, 0, 0xe8, 3, 0, 0};
    uint8_t header[MU_FRAME_HEADER_BYTES];
    mu_frame_encode(&full, "abc", header);
    assert_memory_equal(header, expected, sizeof(expected));
}

static void what_was_encoded_is_decoded(void **state)
{
    (void)state;
    uint8_t header[MU_FRAME_HEADER_BYTES];
    struct mu_frame frame;
    mu_frame_encode(&full, "abc", header);
    assert_ok(mu_frame_decode(header, &frame));
    assert_true(mu_frame_check(header, "abc"));
    assert_int_equal(frame.version, MU_PROTOCOL_VERSION);
    assert_int_equal(frame.type, full.type);
    assert_int_equal(frame.flags, full.flags);
    assert_int_equal(frame.generation, full.generation);
    assert_int_equal(frame.tag, full.tag);
    assert_int_equal(frame.body_bytes, full.body_bytes);
    assert_int_equal(frame.payload_bytes, full.payload_bytes);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    uint8_t whole[MU_FRAME_HEADER_BYTES + 3];
    mu_frame_encode(&full, "abc", whole);
    memcpy(whole + MU_FRAME_HEADER_BYTES, "abc", 3);
    for (size_t bit = 0; bit < 8 * sizeof(whole); bit++) {
        struct mu_frame frame = full;
        uint8_t bad[MU_FRAME_BODY_MAX + MU_FRAME_HEADER_BYTES] = {0};
        memcpy(bad, whole, sizeof(whole));
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool taken = mu_frame_decode(bad, &frame) == MU_OK &&
                     mu_frame_check(bad, bad + MU_FRAME_HEADER_BYTES);
        assert_false(taken);
    }
}

/* Encodes by hand what encode would not. */
static enum mu_status decode_with(size_t offset, uint32_t value, size_t bytes)
{
    uint8_t header[MU_FRAME_HEADER_BYTES];
    struct mu_frame frame = full;
    mu_frame_encode(&full, "abc", header);
    for (size_t i = 0; i < bytes; i++)
        header[offset + i] = (uint8_t)(value >> (8 * i));
    enum mu_status status = mu_frame_decode(header, &frame);
    /* Untouched on failure. */
    assert_true(status == MU_OK || frame.payload_bytes == full.payload_bytes);
    return status;
}

static void caps_hold_at_their_edges(void **state)
{
    (void)state;
    assert_ok(decode_with(20, MU_FRAME_BODY_MAX, 4));
    assert_int_equal(decode_with(20, MU_FRAME_BODY_MAX + 1, 4), MU_PROTOCOL);
    assert_int_equal(decode_with(20, UINT32_MAX, 4), MU_PROTOCOL);
    assert_ok(decode_with(24, MU_FRAME_PAYLOAD_MAX, 4));
    assert_int_equal(decode_with(24, MU_FRAME_PAYLOAD_MAX + 1, 4), MU_PROTOCOL);
    assert_int_equal(decode_with(5, MU_FRAME_NONE, 1), MU_PROTOCOL);
    assert_ok(decode_with(5, MU_FRAME_TYPE_COUNT - 1, 1));
    assert_int_equal(decode_with(5, MU_FRAME_TYPE_COUNT, 1), MU_PROTOCOL);
}

static void a_newer_version_is_told(void **state)
{
    (void)state;
    uint8_t header[MU_FRAME_HEADER_BYTES];
    struct mu_frame frame = {0};
    mu_frame_encode(&full, "abc", header);
    header[4] = 9;
    assert_int_equal(mu_frame_decode(header, &frame), MU_PROTOCOL);
    assert_int_equal(frame.version, 9);
    assert_int_equal(frame.payload_bytes, 0);
}

static void every_type_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < MU_FRAME_TYPE_COUNT; i++)
        assert_true(strlen(mu_frame_type_name(i)) > 2);
    assert_string_equal(mu_frame_type_name(MU_FRAME_PUSH), "PUSH");
    assert_string_equal(mu_frame_type_name(-1), "?");
    assert_string_equal(mu_frame_type_name(MU_FRAME_TYPE_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_little_endian_and_documented),
        cmocka_unit_test(what_was_encoded_is_decoded),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(caps_hold_at_their_edges),
        cmocka_unit_test(a_newer_version_is_told),
        cmocka_unit_test(every_type_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
