/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"
#include "test.h"

/* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
static void known_vectors_hold(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(mu_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(mu_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(mu_crc32c(0, bytes, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(mu_crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(mu_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(mu_crc32c_table(0, "123456789", 9), 0xe3069283);
}

static void no_bytes_leave_the_crc_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(mu_crc32c(0, NULL, 0), 0);
    assert_int_equal(mu_crc32c(0x12345678, "", 0), 0x12345678);
    assert_int_equal(mu_crc32c_table(0x12345678, "", 0), 0x12345678);
}

static void fill(uint8_t *bytes, size_t count)
{
    struct mu_random random;
    mu_random_init(&random, 1);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)mu_random_next(&random);
}

static void short_lengths_at_every_offset_agree_with_the_table(void **state)
{
    (void)state;
    uint8_t bytes[320];
    fill(bytes, sizeof(bytes));
    for (size_t offset = 0; offset < 16; offset++) {
        for (size_t length = 0; length <= 300; length++)
            assert_int_equal(
                mu_crc32c(7, bytes + offset, length), mu_crc32c_table(7, bytes + offset, length));
    }
}

/* Blocks of three streams begin at 768 and at 12288 bytes. */
static void lengths_around_the_blocks_agree_with_the_table(void **state)
{
    (void)state;
    static const size_t around[] = {768, 1536, 12288, 12288 + 768, 24576, 65536};
    static uint8_t bytes[65536 + 64];
    fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
        for (size_t length = around[i] - 9; length <= around[i] + 9; length++) {
            for (size_t offset = 0; offset < 16; offset += 5)
                assert_int_equal(mu_crc32c(0, bytes + offset, length),
                    mu_crc32c_table(0, bytes + offset, length));
        }
    }
}

static void pieces_give_the_crc_of_the_whole(void **state)
{
    (void)state;
    static uint8_t bytes[30000];
    fill(bytes, sizeof(bytes));
    uint32_t whole = mu_crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 997) {
        uint32_t first = mu_crc32c(0, bytes, cut);
        assert_int_equal(mu_crc32c(first, bytes + cut, sizeof(bytes) - cut), whole);
    }
}

static void every_single_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[800];
    fill(bytes, sizeof(bytes));
    uint32_t whole = mu_crc32c(0, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(mu_crc32c(0, bytes, sizeof(bytes)), whole);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_single_wrong_byte_is_located(void **state)
{
    uint8_t bytes[600], flipped;
    fill(bytes, sizeof(bytes));
    uint32_t whole = mu_crc32c(0, bytes, sizeof(bytes));
    for (size_t at = 0; at < sizeof(bytes); at++) {
        uint8_t change = (uint8_t)(1 + at % 255);
        bytes[at] ^= change;
        uint32_t difference = mu_crc32c(0, bytes, sizeof(bytes)) ^ whole;
        assert_int_equal(mu_crc32c_locate(difference, sizeof(bytes), sizeof(bytes), &flipped), at);
        assert_int_equal(flipped, change);
        assert_true(mu_crc32c_locate(difference, sizeof(bytes), at, &flipped) == SIZE_MAX);
        bytes[at] ^= change;
    }
    assert_true(mu_crc32c_locate(0, sizeof(bytes), sizeof(bytes), &flipped) == SIZE_MAX);
}

static void mask_is_that_of_tfrecord(void **state)
{
    (void)state;
    assert_int_equal(mu_crc32c_mask(0), 0xa282ead8);
    /* Event files of TensorFlow begin with 18 00 00 00 00 00 00 00 a3 7f 4b 22. */
    uint8_t length[8] = {24};
    assert_int_equal(mu_crc32c_mask(mu_crc32c(0, length, 8)), 0x224b7fa3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_hold),
        cmocka_unit_test(no_bytes_leave_the_crc_as_it_is),
        cmocka_unit_test(short_lengths_at_every_offset_agree_with_the_table),
        cmocka_unit_test(lengths_around_the_blocks_agree_with_the_table),
        cmocka_unit_test(pieces_give_the_crc_of_the_whole),
        cmocka_unit_test(every_single_flipped_bit_is_noticed),
        cmocka_unit_test(a_single_wrong_byte_is_located),
        cmocka_unit_test(mask_is_that_of_tfrecord),
    };
    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
