/* SPDX-License-Identifier: Apache-2.0 */
#include "link_fake.h"
#include "runtime/base/crc32c.h"
#include <errno.h>

/* What a link makes of the bytes that come, whoever sent them. */

/* ---- receiving ---- */

static void any_cut_of_the_bytes_gives_the_same_frames(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{0, 0}, {5, 0}, {0, 7}, {65536, 0}, {100, 150000}, {3, 3},
        {65536, 40000}, {0, 0}, {0, 16384}, {1, 1}};
    static const size_t steps[] = {1, 2, 3, 31, 32, 33, 1000, 16383, 16384, 100000, SIZE_MAX};
    static uint8_t bytes[512 << 10];
    static struct owner owner;
    size_t count = 0;
    uint32_t expected = 0;
    for (size_t i = 0; i < MU_COUNT_OF(sizes); i++) {
        size_t frame_bytes = add_frame(bytes + count, i, sizes[i][0], sizes[i][1]);
        expected = mu_crc32c(
            expected, bytes + count + MU_FRAME_HEADER_BYTES, frame_bytes - MU_FRAME_HEADER_BYTES);
        count += frame_bytes;
    }
    for (size_t i = 0; i < MU_COUNT_OF(steps); i++) {
        struct mu_link *link = open_link(&owner);
        assert_int_equal(feed(bytes, count, steps[i]), count);
        assert_int_equal(owner.arrived, MU_COUNT_OF(sizes));
        assert_int_equal(owner.asked, MU_COUNT_OF(sizes));
        assert_int_equal(owner.crc32c, expected);
        mu_link_close(link);
    }
}

static void every_truncation_ends_without_a_frame(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 20, 30);
    for (size_t cut = 0; cut < count; cut++) {
        struct mu_link *link = open_link(&owner);
        feed(bytes, cut, 13);
        end_stream(ECONNRESET);
        assert_int_equal(owner.arrived, 0);
        assert_int_equal(owner.ended, 1);
        assert_int_equal(owner.why, MU_CLOSED);
        assert_int_equal(owner.error, ECONNRESET);
        mu_link_close(link);
        assert_int_equal(owner.ended, 1);
    }
}

static void every_flipped_bit_ends_without_a_frame(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 20, 0);
    for (size_t bit = 0; bit < 8 * count; bit++) {
        struct mu_link *link = open_link(&owner);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        feed(bytes, count, SIZE_MAX);
        end_stream(0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(owner.asked, 0);
        assert_int_equal(owner.ended, 1);
        mu_link_close(link);
    }
}

static void a_held_frame_waits_and_is_asked_about_again(void **state)
{
    (void)state;
    static struct owner owner;
    static uint8_t bytes[200 << 10];
    size_t first = add_frame(bytes, 1, 4, 100000);
    size_t count = first + add_frame(bytes + first, 2, 4, 9);
    for (size_t step = 1; step < 3 * count; step = step * 3 + 1) {
        struct mu_link *link = open_link(&owner);
        owner.answer = MU_LINK_HOLD;
        size_t taken = feed(bytes, count, step);
        assert_true(taken < count);
        assert_int_equal(owner.asked, 1);
        mu_link_resume(link); /* the answer is still the same */
        assert_int_equal(owner.asked, 2);
        assert_int_equal(feed(bytes + taken, count - taken, step), 0);
        owner.answer = MU_LINK_TAKE;
        mu_link_resume(link);
        assert_int_equal(stream.resumed, 2);
        assert_int_equal(feed(bytes + taken, count - taken, step), count - taken);
        assert_int_equal(owner.arrived, 2);
        assert_int_equal(owner.last_tag, 2);
        mu_link_resume(link); /* when nothing is held: nothing */
        assert_int_equal(stream.resumed, 2);
        mu_link_close(link);
    }
}

static void a_refused_frame_ends_the_link(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 4, 5);
    struct mu_link *link = open_link(&owner);
    owner.answer = MU_LINK_REFUSE;
    feed(bytes, count, SIZE_MAX);
    assert_int_equal(owner.ended, 1);
    assert_int_equal(owner.why, MU_PROTOCOL);
    assert_int_equal(owner.arrived, 0);
    mu_link_close(link);
}

static void a_skipped_payload_is_read_and_nobody_gets_it(void **state)
{
    (void)state;
    static struct owner owner;
    static uint8_t bytes[200 << 10];
    size_t first = add_frame(bytes, 1, 4, 100000);
    size_t second = add_frame(bytes + first, 2, 4, 9);
    for (size_t step = 1; step < 3 * first; step = step * 3 + 1) {
        struct mu_link *link = open_link(&owner);
        owner.answer = MU_LINK_SKIP;
        assert_int_equal(feed(bytes, first, step), first);
        assert_int_equal(owner.arrived, 1);
        for (size_t i = 0; i < sizeof(owner.payload); i++)
            assert_int_equal(owner.payload[i], 0);
        owner.answer = MU_LINK_TAKE;
        assert_int_equal(feed(bytes + first, second, step), second);
        assert_int_equal(owner.last_tag, 2);
        assert_memory_equal(owner.payload, bytes + first + second - 9, 9);
        mu_link_close(link);
    }
}

/* ---- strangers ---- */

static void check_stranger(const char *sent, const char *kept)
{
    static struct owner owner;
    for (size_t step = 1; step < 64; step += 21) {
        struct mu_link *link = open_link(&owner);
        feed(sent, strlen(sent), step);
        assert_int_equal(owner.ended, 1);
        assert_int_equal(owner.why, MU_PROTOCOL);
        assert_memory_equal(mu_link_stray(link), kept, strlen(mu_link_stray(link)));
        assert_true(strlen(mu_link_stray(link)) >= 4);
        assert_int_equal(mu_link_peer_version(link), 0);
        mu_link_close(link);
    }
}

static void another_service_is_quoted(void **state)
{
    (void)state;
    check_stranger("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2");
    check_stranger("HTTP/1.1 400 Bad Request\r\nServer: x\r\n", "HTTP/1.1 400 Bad Request");
    check_stranger("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1");
    check_stranger("\x16\x03\x01\x02 and what TLS says further, more than is kept of it all",
        ".... and what TLS says further, more than is kep");
}

static void a_newer_peer_is_known_by_its_version(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 4, 0);
    struct mu_link *link = open_link(&owner);
    bytes[4] = 2;
    feed(bytes, count, SIZE_MAX);
    assert_int_equal(owner.why, MU_PROTOCOL);
    assert_int_equal(mu_link_peer_version(link), 2);
    assert_string_equal(mu_link_stray(link), "");
    mu_link_close(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_of_the_bytes_gives_the_same_frames),
        cmocka_unit_test(every_truncation_ends_without_a_frame),
        cmocka_unit_test(every_flipped_bit_ends_without_a_frame),
        cmocka_unit_test(a_held_frame_waits_and_is_asked_about_again),
        cmocka_unit_test(a_skipped_payload_is_read_and_nobody_gets_it),
        cmocka_unit_test(a_refused_frame_ends_the_link),
        cmocka_unit_test(another_service_is_quoted),
        cmocka_unit_test(a_newer_peer_is_known_by_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
