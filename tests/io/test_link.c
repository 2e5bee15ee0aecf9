/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/crc32c.h"
#include "runtime/io/link.h"
#include "test.h"
#include <errno.h>

/* Links on a driver of this file's own, which gives each byte when the test says so. */

/* ---- the driver ---- */

#define WRITES_MAX 400

struct mu_stream {
    const struct mu_stream_events *events;
    void *owner;
    bool closed;
    int resumed;
    struct mu_write *writes[WRITES_MAX]; /* not done yet */
    int write_count;
    uint8_t written[256 << 10];
    size_t written_bytes;
};

static struct mu_stream stream;

static void own(struct mu_stream *s, const struct mu_stream_events *events, void *owner)
{
    s->events = events;
    s->owner = owner;
}

static void write_parts(
    struct mu_stream *s, struct mu_write *write, const struct mu_part *parts, int part_count)
{
    for (int i = 0; i < part_count; i++) {
        assert_true(s->written_bytes + parts[i].bytes <= sizeof(s->written));
        memcpy(s->written + s->written_bytes, parts[i].at, parts[i].bytes);
        s->written_bytes += parts[i].bytes;
    }
    assert_true(s->write_count < WRITES_MAX);
    s->writes[s->write_count++] = write;
}

static void finish_writes(struct mu_stream *s, enum mu_status status)
{
    int count = s->write_count;
    s->write_count = 0;
    for (int i = 0; i < count; i++)
        s->writes[i]->done(s->writes[i], status);
}

static void resume(struct mu_stream *s)
{
    s->resumed++;
}

static void close_stream(struct mu_stream *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    finish_writes(s, MU_CLOSED);
}

static void peer_name(struct mu_stream *s, char *out, size_t bytes)
{
    (void)s;
    snprintf(out, bytes, "10.0.0.9:1");
}

static int64_t now_ns(struct mu_world *world)
{
    (void)world;
    return 0;
}

static enum mu_status turn(struct mu_loop *loop, int64_t deadline_ns)
{
    (void)loop;
    (void)deadline_ns;
    if (stream.write_count == 0)
        return MU_TIMEOUT;
    finish_writes(&stream, MU_OK);
    return MU_OK;
}

static const struct mu_net_ops net = {
    .turn = turn,
    .own = own,
    .write = write_parts,
    .resume = resume,
    .close = close_stream,
    .peer_name = peer_name,
};
static const struct mu_world_ops world_ops = {.now_ns = now_ns};
static struct mu_world world = {.ops = &world_ops};
static struct mu_loop loop = {.ops = &net, .world = &world};

/* Gives bytes, `step` at a time, as far as the link takes them. Returns how many it took. */
static size_t feed(const void *data, size_t bytes, size_t step)
{
    size_t done = 0;
    while (done < bytes && !stream.closed) {
        void *at = NULL;
        size_t room = 0;
        stream.events->room(stream.owner, &at, &room);
        if (room == 0)
            break;
        size_t count = bytes - done < step ? bytes - done : step;
        count = count < room ? count : room;
        memcpy(at, (const uint8_t *)data + done, count);
        done += count;
        stream.events->got(stream.owner, count);
    }
    return done;
}

static void end_stream(int error)
{
    if (!stream.closed)
        stream.events->ended(stream.owner, error);
}

/* ---- the owner ---- */

struct owner {
    int asked, arrived, ended, error;
    enum mu_status why;
    uint32_t crc32c; /* of all that has arrived */
    uint64_t last_tag;
    enum mu_link_answer answer;
    uint8_t payload[200 << 10];
    /* Where to close, or whom to hand the link to. */
    bool close_in_frame, close_in_arrived, close_in_ended;
    struct owner *heir_in_frame, *heir_in_arrived;
};

static const struct mu_link_events events;

static enum mu_link_answer on_frame(void *pointer, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct owner *owner = pointer;
    (void)body;
    owner->asked++;
    assert_true(frame->payload_bytes <= sizeof(owner->payload));
    *ret_payload = owner->payload;
    if (owner->heir_in_frame)
        mu_link_adopt(link, &events, owner->heir_in_frame);
    if (owner->close_in_frame)
        mu_link_close(link);
    return owner->answer;
}

static void on_arrived(
    void *pointer, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct owner *owner = pointer;
    owner->arrived++;
    owner->last_tag = frame->tag;
    owner->crc32c = mu_crc32c(owner->crc32c, body, frame->body_bytes);
    owner->crc32c = mu_crc32c(owner->crc32c, owner->payload, frame->payload_bytes);
    if (owner->heir_in_arrived)
        mu_link_adopt(link, &events, owner->heir_in_arrived);
    if (owner->close_in_arrived)
        mu_link_close(link);
}

static void on_ended(void *pointer, struct mu_link *link, enum mu_status why, int error)
{
    struct owner *owner = pointer;
    owner->ended++;
    owner->why = why;
    owner->error = error;
    assert_false(mu_link_alive(link));
    if (owner->close_in_ended)
        mu_link_close(link);
}

static const struct mu_link_events events = {
    .frame = on_frame, .arrived = on_arrived, .ended = on_ended};

static struct mu_link *open_link(struct owner *owner)
{
    struct mu_link *link;
    memset(&stream, 0, sizeof(stream));
    memset(owner, 0, sizeof(*owner));
    assert_ok(mu_link_accept(&loop, &stream, &events, owner, &link));
    return link;
}

/* Appends a frame whose bytes follow from its sizes. */
static size_t add_frame(uint8_t *out, uint64_t tag, size_t body_bytes, size_t payload_bytes)
{
    struct mu_frame frame = {
        .type = MU_FRAME_SEGMENT,
        .tag = tag,
        .body_bytes = (uint32_t)body_bytes,
        .payload_bytes = (uint32_t)payload_bytes,
    };
    uint8_t *body = out + MU_FRAME_HEADER_BYTES;
    for (size_t i = 0; i < body_bytes + payload_bytes; i++)
        body[i] = (uint8_t)(i * 31 + i / 256 + tag);
    mu_frame_encode(&frame, body, out);
    return MU_FRAME_HEADER_BYTES + body_bytes + payload_bytes;
}

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
        assert_int_equal(mu_link_received(link), count);
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
    mu_link_adopt(link, &events, &heir);
    mu_link_resume(link);
    feed(bytes + taken, count - taken, SIZE_MAX);
    assert_int_equal(owner.arrived, 0);
    assert_int_equal(heir.arrived, 1);
    mu_link_close(link);
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
    mu_link_post(link, MU_FRAME_MESSAGE, 1, 9, &large);
    assert_false(send.done);
    finish_writes(&stream, MU_OK);
    assert_true(send.done && send.status == MU_OK);
    size_t count = stream.written_bytes;
    assert_int_equal(mu_link_sent(link), count);
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
    assert_int_equal(mu_send_wait(link, &send, 0), MU_CLOSED);
    mu_link_peer_name(link, name, sizeof(name));
    assert_string_equal(name, "");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_of_the_bytes_gives_the_same_frames),
        cmocka_unit_test(every_truncation_ends_without_a_frame),
        cmocka_unit_test(every_flipped_bit_ends_without_a_frame),
        cmocka_unit_test(a_held_frame_waits_and_is_asked_about_again),
        cmocka_unit_test(a_refused_frame_ends_the_link),
        cmocka_unit_test(another_service_is_quoted),
        cmocka_unit_test(a_newer_peer_is_known_by_its_version),
        cmocka_unit_test(a_link_may_be_closed_in_any_callback),
        cmocka_unit_test(a_link_may_be_closed_when_a_send_finishes),
        cmocka_unit_test(an_heir_gets_the_next_frame),
        cmocka_unit_test(a_held_link_can_be_handed_over),
        cmocka_unit_test(what_is_sent_is_what_a_link_receives),
        cmocka_unit_test(a_peer_that_never_reads_is_given_up),
        cmocka_unit_test(posts_go_on_while_the_peer_reads),
        cmocka_unit_test(after_the_end_a_send_is_done_at_once),
        cmocka_unit_test(a_flush_waits_for_posts_and_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
