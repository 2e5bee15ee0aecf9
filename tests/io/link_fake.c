/* SPDX-License-Identifier: Apache-2.0 */
#include "link_fake.h"
#include "runtime/base/crc32c.h"

/* ---- the driver ---- */

struct mu_stream stream;

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

void finish_writes(struct mu_stream *s, enum mu_status status)
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

static bool delivered(struct mu_stream *s)
{
    return s->undelivered == 0 || --s->undelivered == 0;
}

static const struct mu_net_ops net = {
    .turn = turn,
    .own = own,
    .write = write_parts,
    .resume = resume,
    .delivered = delivered,
    .close = close_stream,
    .peer_name = peer_name,
};
static const struct mu_world_ops world_ops = {.now_ns = now_ns};
static struct mu_world world = {.ops = &world_ops};
static struct mu_loop loop = {.ops = &net, .world = &world};

size_t feed(const void *data, size_t bytes, size_t step)
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

void end_stream(int error)
{
    if (!stream.closed)
        stream.events->ended(stream.owner, error);
}

/* ---- the owner ---- */

static enum mu_link_answer on_frame(void *pointer, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct owner *owner = pointer;
    (void)body;
    owner->asked++;
    owner->landed = 0;
    assert_true(frame->payload_bytes <= sizeof(owner->payload));
    *ret_payload = owner->payload;
    if (owner->heir_in_frame)
        mu_link_adopt(link, &owner_events, owner->heir_in_frame);
    if (owner->close_in_frame)
        mu_link_close(link);
    return owner->answer;
}

static void on_landed(void *pointer, const struct mu_frame *frame, size_t bytes)
{
    struct owner *owner = pointer;
    assert_true(bytes > owner->landed && bytes <= frame->payload_bytes);
    owner->landed = bytes;
}

static void on_arrived(
    void *pointer, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    struct owner *owner = pointer;
    owner->arrived++;
    if (owner->answer == MU_LINK_TAKE)
        assert_int_equal(owner->landed, frame->payload_bytes);
    owner->last_tag = frame->tag;
    owner->crc32c = mu_crc32c(owner->crc32c, body, frame->body_bytes);
    owner->crc32c = mu_crc32c(owner->crc32c, owner->payload, frame->payload_bytes);
    if (owner->heir_in_arrived)
        mu_link_adopt(link, &owner_events, owner->heir_in_arrived);
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

const struct mu_link_events owner_events = {
    .frame = on_frame, .landed = on_landed, .arrived = on_arrived, .ended = on_ended};

struct mu_link *open_link(struct owner *owner)
{
    struct mu_link *link;
    memset(&stream, 0, sizeof(stream));
    memset(owner, 0, sizeof(*owner));
    assert_ok(mu_link_accept(&loop, &stream, &owner_events, owner, &link));
    return link;
}

size_t add_frame(uint8_t *out, uint64_t tag, size_t body_bytes, size_t payload_bytes)
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
