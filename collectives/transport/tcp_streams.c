/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/tcp_peer.h"
#include <stdlib.h>

/*
 * A long message in parts, one over each stream to a rank:
 *
 *   first link     | header, signature | part 0 |
 *   stream[0]      | header            | part 1 |      each lands in its place
 *   stream[1]      | header            | part 2 |
 *
 * What ranks agree about and in which order, is the first link's: a message begins there, and only
 * with its first part is it one. A part whose receive is not posted yet waits, as a message does.
 */
#define PART_BYTES_MIN ((size_t)32 << 10) /* shorter parts cost more than they bring */
#define MESSAGES_MAX 16                   /* in parts at once to a rank; others go as they are */

/* A part on its way out. */
struct mu_tcp_part {
    struct mu_send send;
    struct mu_tcp_peer *peer;
    struct mu_op *op;
    struct mu_tcp_part *next;
};

/* ---- sending ---- */

int mu_tcp_cut(const struct mu_tcp_peer *peer, size_t bytes)
{
    size_t most = bytes / PART_BYTES_MIN;
    int parts = most < (size_t)peer->parts_max ? (int)most : peer->parts_max;
    const struct mu_tcp_part *spare = peer->spare;
    for (int i = 1; i < parts; i++, spare = spare->next)
        if (!spare || !peer->stream[i - 1].link)
            return 1;
    return parts > 1 ? parts : 1;
}

void mu_tcp_part_sent(struct mu_op *op, enum mu_status status)
{
    op->leaving--;
    if (op->done) /* nobody waits for it any more */
        return;
    if (status != MU_OK)
        op->status = status;
    op->done = op->leaving == 0;
}

static void on_sent(struct mu_send *send)
{
    struct mu_tcp_part *part = send->owner;
    part->next = part->peer->spare;
    part->peer->spare = part;
    mu_tcp_part_sent(part->op, send->status);
}

void mu_tcp_send_parts(
    struct mu_tcp_peer *peer, struct mu_op *op, uint64_t tag, const void *from, size_t bytes)
{
    int parts = op->parts;
    for (int i = 1; i < parts; i++) {
        struct mu_tcp_part *part = peer->spare;
        peer->spare = part->next;
        part->op = op;
        part->send.finished = on_sent;
        part->send.owner = part;
        struct mu_frame frame = {.type = MU_FRAME_SEGMENT,
            .flags = (uint16_t)((parts - 1) << MU_TCP_PARTS_SHIFT | i << MU_TCP_PART_SHIFT),
            .generation = peer->tcp->generation,
            .tag = tag,
            .payload_bytes = (uint32_t)mu_tcp_part_bytes(bytes, parts, i)};
        mu_link_send(peer->stream[i - 1].link, &part->send, &frame, NULL,
            (const char *)from + mu_tcp_part_first(bytes, parts, i));
    }
}

/* ---- receiving ---- */

static bool is_here(const struct mu_op *op)
{
    return op->arrived == (1u << op->parts) - 1;
}

/* A part that is to come over a link that has ended never comes. */
static bool is_lost(const struct mu_tcp_peer *peer, const struct mu_op *op)
{
    for (int i = 1; i < op->parts; i++)
        if (!(op->arrived & 1u << i) && !peer->stream[i - 1].link)
            return true;
    return false;
}

void mu_tcp_first_part(struct mu_tcp_peer *peer, struct mu_op *op)
{
    op->arrived |= 1;
    op->next = peer->open;
    peer->open = op;
    if (is_here(op))
        mu_op_end(&peer->open, op, MU_OK);
    else if (is_lost(peer, op))
        mu_op_end(&peer->open, op, MU_CLOSED);
}

static struct mu_op *find_in(struct mu_op *list, uint64_t tag, int part)
{
    for (struct mu_op *op = list; op; op = op->next)
        if (op->tag == tag && !(op->arrived & 1u << part))
            return op;
    return NULL;
}

static bool is_part(const struct mu_tcp_stream *stream, const struct mu_frame *frame)
{
    const struct mu_tcp_peer *peer = stream->peer;
    int parts = mu_tcp_parts_of(frame), part = mu_tcp_part_of(frame);
    return frame->type == MU_FRAME_SEGMENT && frame->payload_bytes > 0 && frame->body_bytes == 0 &&
           frame->generation == peer->tcp->generation && part < parts &&
           parts <= MU_TCP_STREAMS_MAX && part == stream - peer->stream + 1;
}

static enum mu_link_answer on_part(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)body;
    struct mu_tcp_stream *stream = owner;
    struct mu_tcp_peer *peer = stream->peer;
    int parts = mu_tcp_parts_of(frame), part = mu_tcp_part_of(frame);
    stream->op = NULL;
    if (!is_part(stream, frame))
        return MU_LINK_REFUSE;
    struct mu_op *op = find_in(peer->open, frame->tag, part);
    if (!op)
        op = find_in(peer->first, frame->tag, part);
    if (!op && (peer->over != MU_OK || peer->tcp->drains))
        return MU_LINK_SKIP;
    if (!op)
        return MU_LINK_HOLD;
    /* If it does not fit, the ranks disagree: the first part says about what. */
    if (frame->payload_bytes != mu_tcp_part_bytes(op->bytes, parts, part))
        return op->parts ? MU_LINK_REFUSE : MU_LINK_SKIP;
    stream->op = op;
    *ret_payload = (char *)op->at + mu_tcp_part_first(op->bytes, parts, part);
    return MU_LINK_TAKE;
}

static void on_part_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_tcp_stream *stream = owner;
    struct mu_op *op = stream->op;
    stream->op = NULL;
    if (!op)
        return;
    op->arrived |= (uint8_t)(1u << mu_tcp_part_of(frame));
    if (op->arrived & 1 && is_here(op))
        mu_op_end(&stream->peer->open, op, MU_OK);
}

/* The first link says what has become of the peer. */
static void on_stream_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)why;
    (void)error;
    struct mu_tcp_stream *stream = owner;
    struct mu_tcp_peer *peer = stream->peer;
    stream->link = NULL;
    stream->op = NULL;
    mu_link_close(link);
    for (struct mu_op *op = peer->open, *next; op; op = next) {
        next = op->next;
        if (is_lost(peer, op))
            mu_op_end(&peer->open, op, MU_CLOSED);
    }
}

static const struct mu_link_events stream_events = {
    .frame = on_part,
    .arrived = on_part_arrived,
    .ended = on_stream_ended,
};

void mu_tcp_resume_streams(struct mu_tcp_peer *peer)
{
    for (int i = 0; i < peer->streams; i++)
        if (peer->stream[i].link)
            mu_link_resume(peer->stream[i].link);
}

void mu_tcp_forget_parts(struct mu_tcp_peer *peer)
{
    for (int i = 0; i < peer->streams; i++)
        peer->stream[i].op = NULL;
}

/* ---- life ---- */

static void adopt(struct mu_tcp_stream *stream)
{
    struct mu_link *link = stream->link;
    mu_link_adopt(link, &stream_events, stream);
    mu_link_resume(link);
    if (stream->link && !mu_link_alive(link)) {
        stream->link = NULL;
        mu_link_close(link);
    }
}

enum mu_status mu_tcp_add_streams(
    struct mu_tcp_peer *peer, struct mu_link *const links[], int count)
{
    size_t parts = (size_t)count * MESSAGES_MAX;
    peer->stream = calloc((size_t)count, sizeof(*peer->stream));
    peer->part = calloc(parts, sizeof(*peer->part));
    if (!peer->stream || !peer->part) {
        for (int i = 0; i < count; i++)
            mu_link_close(links[i]);
        return MU_NO_MEMORY; /* what there is goes with the peer */
    }
    for (size_t i = 0; i < parts; i++) {
        peer->part[i] = (struct mu_tcp_part){.peer = peer, .next = peer->spare};
        peer->spare = &peer->part[i];
    }
    peer->streams = count;
    peer->parts_max = count + 1;
    for (int i = 0; i < count; i++)
        peer->stream[i] = (struct mu_tcp_stream){.peer = peer, .link = links[i]};
    for (int i = 0; i < count; i++)
        if (links[i])
            adopt(&peer->stream[i]);
    return MU_OK;
}

void mu_tcp_trim_streams(struct mu_tcp_peer *peer, int streams)
{
    for (int i = streams; i < peer->streams; i++) {
        struct mu_link *link = peer->stream[i].link;
        peer->stream[i].link = NULL;
        peer->stream[i].op = NULL;
        mu_link_close(link);
    }
    if (peer->parts_max > streams + 1)
        peer->parts_max = streams + 1;
}

void mu_tcp_flush_streams(struct mu_tcp_peer *peer, int64_t deadline_ns)
{
    for (int i = 0; i < peer->streams; i++) {
        struct mu_link *link = peer->stream[i].link;
        peer->stream[i].link = NULL;
        if (link)
            mu_link_flush(link, deadline_ns);
    }
}

void mu_tcp_end_streams(struct mu_tcp_peer *peer)
{
    mu_tcp_trim_streams(peer, 0);
    free(peer->stream);
    free(peer->part);
    peer->stream = NULL;
    peer->part = peer->spare = NULL;
    peer->streams = 0;
}
