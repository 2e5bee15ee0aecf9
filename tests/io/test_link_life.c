/* SPDX-License-Identifier: Apache-2.0 */
#include "link_fake.h"
#include "runtime/base/crc32c.h"
#include <errno.h>

/* Links that are closed, handed over, and sent on. */

/* ---- closing and handing over ---- */

static void a_link_may_be_closed_in_any_callback(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[512];
    size_t count = add_frame(bytes, 1, 4, 50);
    count += add_frame(bytes + count, 2, 4, 50);
    static const int arrived[] = {0, 1, 2, 0};
    for (int where = 0; where < 4; where++)
        for (size_t step = 1; step < 512; step += 60) {
            struct mu_link *link = open_link(&owner);
            mu_link_post(link, MU_FRAME_HEARTBEAT, 0, 0, NULL);
            owner.close_in_frame = where == 0;
            owner.close_in_arrived = where == 1;
            owner.close_in_ended = where >= 2;
            owner.answer = where == 3 ? MU_LINK_REFUSE : MU_LINK_TAKE;
            feed(bytes, count, step);
            end_stream(0);
            assert_true(stream.closed);
            assert_int_equal(stream.write_count, 0);
            assert_int_equal(owner.ended, where >= 2);
            assert_int_equal(owner.arrived, arrived[where]);
        }
}

static struct mu_link *link_to_close;

static void close_when_finished(struct mu_send *send)
{
    (void)send;
    mu_link_close(link_to_close);
}

static void a_link_may_be_closed_when_a_send_finishes(void **state)
{
    (void)state;
    static struct owner owner;
    struct mu_frame frame = {.type = MU_FRAME_HEARTBEAT};
    for (int how = 0; how < 3; how++) {
        struct mu_send send = {.finished = close_when_finished};
        link_to_close = open_link(&owner);
        mu_link_send(link_to_close, &send, &frame, NULL, NULL);
        if (how == 0)
            finish_writes(&stream, MU_OK);
        else if (how == 1)
            mu_link_close(link_to_close);
        else
            end_stream(EPIPE);
        assert_true(send.done);
        assert_int_equal(send.status, how == 0 ? MU_OK : MU_CLOSED);
        assert_true(stream.closed);
        assert_int_equal(owner.ended, 0); /* no callback after a close */
    }
}

static void an_heir_gets_the_next_frame(void **state)
{
    (void)state;
    static struct owner owner, heir;
    uint8_t bytes[512];
    size_t count = add_frame(bytes, 1, 4, 50);
    count += add_frame(bytes + count, 2, 4, 50);
    for (int where = 0; where < 2; where++)
        for (size_t step = 1; step < 512; step += 60) {
            struct mu_link *link = open_link(&owner);
            memset(&heir, 0, sizeof(heir));
            owner.heir_in_frame = where == 0 ? &heir : NULL;
            owner.heir_in_arrived = where == 1 ? &heir : NULL;
            feed(bytes, count, step);
            assert_int_equal(owner.asked, 1);
            assert_int_equal(owner.arrived, 1);
            assert_int_equal(owner.last_tag, 1);
            assert_int_equal(heir.asked, 1);
            assert_int_equal(heir.arrived, 1);
            assert_int_equal(heir.last_tag, 2);
            end_stream(0);
            assert_int_equal(owner.ended, 0);
            assert_int_equal(heir.ended, 1);
            mu_link_close(link);
        }
}

static void what_comes_while_nobody_has_the_link_is_for_its_next_owner(void **state)
{
    (void)state;
    static struct owner owner, heir;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 4, 50);
    struct mu_link *link = open_link(&owner);
    memset(&heir, 0, sizeof(heir));
    mu_link_adopt(link, &mu_link_hold_events, NULL);
    size_t taken = feed(bytes, count, SIZE_MAX);
    mu_link_adopt(link, &owner_events, &heir);
    assert_int_equal(heir.asked, 0);
    mu_link_resume(link);
    feed(bytes + taken, count - taken, SIZE_MAX);
    assert_int_equal(heir.arrived, 1);
    assert_int_equal(owner.asked, 0);
    mu_link_close(link);
    link = open_link(&owner);
    mu_link_adopt(link, &mu_link_hold_events, NULL);
    end_stream(ECONNRESET); /* nobody hears it */
    assert_int_equal(owner.ended, 0);
    assert_false(mu_link_alive(link));
    mu_link_close(link);
}

static void a_held_link_can_be_handed_over(void **state)
{
    (void)state;
    static struct owner owner, heir;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 4, 50);
    struct mu_link *link = open_link(&owner);
    memset(&heir, 0, sizeof(heir));
    owner.answer = MU_LINK_HOLD;
    size_t taken = feed(bytes, count, SIZE_MAX);
    mu_link_adopt(link, &owner_events, &heir);
    mu_link_resume(link);
    feed(bytes + taken, count - taken, SIZE_MAX);
    assert_int_equal(owner.arrived, 0);
    assert_int_equal(heir.arrived, 1);
    mu_link_close(link);
}

/* The peer has said its last word and gone, while the receiver was not ready for it. */
static void what_came_before_the_end_is_handed_on(void **state)
{
    (void)state;
    static struct owner owner;
    uint8_t bytes[256];
    size_t count = add_frame(bytes, 1, 4, 50);
    for (int close = 0; close < 2; close++) {
        struct mu_link *link = open_link(&owner);
        owner.answer = MU_LINK_HOLD;
        assert_int_equal(feed(bytes, count, SIZE_MAX), count);
        end_stream(0);
        mu_link_resume(link); /* still not ready */
        assert_int_equal(owner.ended, 0);
        if (!close) {
            owner.answer = MU_LINK_TAKE;
            mu_link_resume(link);
            assert_int_equal(owner.arrived, 1);
            assert_int_equal(owner.ended, 1);
            assert_int_equal(owner.why, MU_CLOSED);
        }
        mu_link_close(link);
    }
}

/* ---- sending ---- */

static void what_is_sent_is_what_a_link_receives(void **state)
{
    (void)state;
    static struct owner owner;
    static uint8_t sent[100 << 10];
    struct mu_link *link = open_link(&owner);
    uint8_t memory[2000], small[8];
    memset(memory, 'x', sizeof(memory));
    struct mu_body large = {.data = memory, .bytes = sizeof(memory)}; /* over MU_BODY_SMALL */
    struct mu_body body = {.data = small, .bytes = 3};
    memcpy(small, "abc", 3);
    struct mu_send send = {0};
    struct mu_frame frame = {.type = MU_FRAME_PUSH, .body_bytes = 3, .payload_bytes = 2000};
    mu_link_post(link, MU_FRAME_HEARTBEAT, 1, 5, &body);
    memset(small, 0, 3); /* a post has copied it */
    mu_link_send(link, &send, &frame, "def", memory);
    mu_link_post(link, MU_FRAME_STOP, 1, 9, &large);
    assert_false(send.done);
    finish_writes(&stream, MU_OK);
    assert_true(send.done && send.status == MU_OK);
    size_t count = stream.written_bytes;
    memcpy(sent, stream.written, count);
    mu_link_close(link);

    link = open_link(&owner);
    assert_int_equal(feed(sent, count, 7), count);
    assert_int_equal(owner.arrived, 3);
    assert_int_equal(owner.last_tag, 9);
    uint32_t expected = mu_crc32c(mu_crc32c(0, "abc", 3), "def", 3);
    expected = mu_crc32c(mu_crc32c(expected, memory, 2000), memory, 2000);
    assert_int_equal(owner.crc32c, expected);
    mu_link_close(link);
}

static void a_peer_that_never_reads_is_given_up(void **state)
{
    (void)state;
    static struct owner owner;
    for (int closes = 0; closes < 2; closes++) {
        struct mu_link *link = open_link(&owner);
        owner.close_in_ended = closes;
        for (int i = 0; i < MU_LINK_POSTS_MAX; i++)
            mu_link_post(link, MU_FRAME_HEARTBEAT, 0, 0, NULL);
        assert_int_equal(owner.ended, 0);
        mu_link_post(link, MU_FRAME_HEARTBEAT, 0, 0, NULL);
        assert_int_equal(owner.ended, 1);
        assert_int_equal(owner.why, MU_CLOSED);
        assert_int_equal(owner.error, ENOBUFS);
        if (!closes) {
            mu_link_post(link, MU_FRAME_HEARTBEAT, 0, 0, NULL); /* nobody hears it */
            assert_int_equal(owner.ended, 1);
            mu_link_close(link);
        }
    }
}

static void posts_go_on_while_the_peer_reads(void **state)
{
    (void)state;
    static struct owner owner;
    struct mu_link *link = open_link(&owner);
    for (int i = 0; i < 5 * MU_LINK_POSTS_MAX; i++) {
        mu_link_post(link, MU_FRAME_HEARTBEAT, 0, 0, NULL);
        stream.written_bytes = 0;
        if (i % 200 == 0)
            finish_writes(&stream, MU_OK);
    }
    assert_true(mu_link_alive(link));
    mu_link_close(link);
}

static void after_the_end_a_send_is_done_at_once(void **state)
{
    (void)state;
    static struct owner owner;
    struct mu_link *link = open_link(&owner);
    struct mu_send send = {0};
    struct mu_frame frame = {.type = MU_FRAME_HEARTBEAT};
    char name[64];
    mu_link_peer_name(link, name, sizeof(name));
    assert_string_equal(name, "10.0.0.9:1");
    end_stream(0);
    mu_link_send(link, &send, &frame, NULL, NULL);
    assert_true(send.done);
    assert_int_equal(send.status, MU_CLOSED);
    mu_link_peer_name(link, name, sizeof(name));
    assert_string_equal(name, "10.0.0.9:1");
    mu_link_close(link);
}

static void a_flush_waits_for_posts_and_closes(void **state)
{
    (void)state;
    static struct owner owner;
    struct mu_link *link = open_link(&owner);
    mu_link_post(link, MU_FRAME_GOODBYE, 0, 0, NULL);
    mu_link_flush(link, 1000);
    assert_true(stream.closed);
    assert_int_equal(stream.written_bytes, MU_FRAME_HEADER_BYTES);
    mu_link_close(NULL);
}

static void a_flush_waits_until_the_other_host_has_it(void **state)
{
    (void)state;
    static struct owner owner;
    struct mu_link *link = open_link(&owner);
    stream.undelivered = 3;
    mu_link_flush(link, 1000);
    assert_int_equal(stream.undelivered, 0);
    assert_true(stream.closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_may_be_closed_in_any_callback),
        cmocka_unit_test(a_link_may_be_closed_when_a_send_finishes),
        cmocka_unit_test(an_heir_gets_the_next_frame),
        cmocka_unit_test(what_comes_while_nobody_has_the_link_is_for_its_next_owner),
        cmocka_unit_test(a_held_link_can_be_handed_over),
        cmocka_unit_test(what_came_before_the_end_is_handed_on),
        cmocka_unit_test(what_is_sent_is_what_a_link_receives),
        cmocka_unit_test(a_peer_that_never_reads_is_given_up),
        cmocka_unit_test(posts_go_on_while_the_peer_reads),
        cmocka_unit_test(after_the_end_a_send_is_done_at_once),
        cmocka_unit_test(a_flush_waits_for_posts_and_closes),
        cmocka_unit_test(a_flush_waits_until_the_other_host_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
