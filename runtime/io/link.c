/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/link_inside.h"
#include "runtime/io/stray.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *   stream bytes -> staging [ header | body | first bytes of the payload ]
 *                -> the rest of the payload straight into the receiver's memory
 *
 * Staging takes `lookahead` bytes at a time, so that small frames cost one read together and a
 * large payload pays for one small copy only. Each read that is full makes it longer, each large
 * payload short again. What is left of a payload goes straight into its place only if it is worth a
 * read of its own.
 */
#define LOOKAHEAD_LEAST (16u << 10)
#define LOOKAHEAD_MOST (256u << 10)
#define STRAIGHT_LEAST (32u << 10)
#define DELIVERED_LOOK_NS MU_MS
#define PIECE_BYTES (256u << 10) /* that land at once, if their owner looks at them */
#define STAGING_BYTES (MU_FRAME_HEADER_BYTES + MU_FRAME_BODY_MAX + LOOKAHEAD_MOST)

/* ---- life ---- */

static const struct mu_stream_events stream_events;

static enum mu_status link_create(
    struct mu_loop *loop, const struct mu_link_events *events, void *owner, struct mu_link **ret)
{
    struct mu_link *link = calloc(1, sizeof(*link));
    if (!link)
        return MU_NO_MEMORY;
    *link = (struct mu_link){
        .loop = loop, .events = events, .owner = owner, .lookahead = LOOKAHEAD_LEAST};
    link->staging = malloc(STAGING_BYTES);
    if (!link->staging || mu_decoder_create(&link->decoder) != MU_OK) {
        free(link->staging);
        free(link);
        return MU_NO_MEMORY;
    }
    *ret = link;
    return MU_OK;
}

static void link_free(struct mu_link *link)
{
    mu_link_free_posts(link);
    mu_decoder_destroy(link->decoder);
    free(link->staging);
    free(link);
}

enum mu_status mu_link_connect(struct mu_loop *loop, const struct mu_address *address,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link)
{
    struct mu_link *link;
    MU_TRY(link_create(loop, events, owner, &link));
    enum mu_status status = loop->ops->connect(loop, address, &stream_events, link, &link->stream);
    if (status != MU_OK) {
        link_free(link);
        return status;
    }
    *ret_link = link;
    return MU_OK;
}

enum mu_status mu_link_accept(struct mu_loop *loop, struct mu_stream *stream,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link)
{
    struct mu_link *link;
    enum mu_status status = link_create(loop, events, owner, &link);
    if (status != MU_OK) {
        loop->ops->close(stream);
        return status;
    }
    link->stream = stream;
    *ret_link = link;
    loop->ops->own(stream, &stream_events, link);
    return MU_OK;
}

void mu_link_adopt(struct mu_link *link, const struct mu_link_events *events, void *owner)
{
    link->events = events;
    link->owner = owner;
}

static void stream_close(struct mu_link *link)
{
    struct mu_stream *stream = link->stream;
    link->stream = NULL;
    if (stream)
        link->loop->ops->close(stream);
}

/* Closing a stream finishes its sends and an end is told to the owner: either may close the link.
 * While it is pinned it stays in memory. */
static void pin(struct mu_link *link)
{
    link->pins++;
}

static void unpin(struct mu_link *link)
{
    link->pins--;
    if (link->pins == 0 && link->doomed)
        link_free(link);
}

void mu_link_close(struct mu_link *link)
{
    if (!link || link->doomed)
        return;
    link->doomed = true;
    pin(link);
    stream_close(link);
    unpin(link);
}

enum mu_link_answer mu_link_skip(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    return MU_LINK_SKIP;
}

void mu_link_ignore(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
}

static void ignore_ended(void *owner, struct mu_link *link, enum mu_status why, int error) {}

static const struct mu_link_events parting_events = {
    .frame = mu_link_skip,
    .arrived = mu_link_ignore,
    .ended = ignore_ended,
};

/* Nobody says when the other host has it. */
static int64_t next_look_ns(const struct mu_link *link, int64_t deadline_ns)
{
    int64_t look_ns = mu_deadline(mu_now(link->loop->world), DELIVERED_LOOK_NS);
    return link->posts_waiting > 0 || look_ns > deadline_ns ? deadline_ns : look_ns;
}

void mu_link_flush(struct mu_link *link, int64_t deadline_ns)
{
    const struct mu_net_ops *ops = link->loop->ops;
    mu_link_adopt(link, &parting_events, NULL);
    mu_link_resume(link);
    pin(link);
    while (link->stream && (link->posts_waiting > 0 || !ops->delivered(link->stream)))
        if (ops->turn(link->loop, next_look_ns(link, deadline_ns)) == MU_TIMEOUT &&
            mu_now(link->loop->world) >= deadline_ns)
            break;
    mu_link_close(link);
    unpin(link);
}

void mu_link_end(struct mu_link *link, enum mu_status why, int error)
{
    if (!link->stream)
        return;
    pin(link);
    stream_close(link);
    if (!link->doomed)
        link->events->ended(link->owner, link, why, error);
    unpin(link);
}

/* ---- what many owners answer ---- */

enum mu_link_answer mu_link_take_hello(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    bool is_hello = frame->type == MU_FRAME_HELLO && frame->payload_bytes == 0;
    return is_hello ? MU_LINK_TAKE : MU_LINK_REFUSE;
}

enum mu_link_answer mu_link_hold(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    return MU_LINK_HOLD;
}

const struct mu_link_events mu_link_hold_events = {
    .frame = mu_link_hold,
    .arrived = mu_link_ignore,
    .ended = ignore_ended,
};

/* ---- receiving ---- */

/* A header and its body are staged; asks the owner. False: nothing more can be read now. */
static bool begin_frame(struct mu_link *link, const uint8_t *header)
{
    const uint8_t *body = header + MU_FRAME_HEADER_BYTES;
    void *payload = NULL;
    link->frame_events = link->events;
    link->frame_owner = link->owner;
    switch (link->events->frame(link->owner, link, &link->frame, body, &payload)) {
    case MU_LINK_TAKE:
        assert(!link->stream || payload || link->frame.payload_bytes == 0);
        break;
    case MU_LINK_SKIP:
        payload = NULL;
        break;
    case MU_LINK_HOLD:
        link->held = true;
        return false;
    case MU_LINK_REFUSE:
        mu_link_end(link, MU_PROTOCOL, 0);
        return false;
    }
    if (!link->stream)
        return false;
    link->payload = payload;
    link->payload_done = 0;
    link->in_payload = true;
    if (link->frame.payload_bytes >= LOOKAHEAD_MOST)
        link->lookahead = LOOKAHEAD_LEAST;
    return true;
}

/* The peer speaks something else. One that speaks another version of ours is told which we speak,
 * so that it can say so too. */
static void not_ours(struct mu_link *link)
{
    char name[sizeof(link->peer)];
    mu_link_peer_name(link, name, sizeof(name)); /* kept for messages after the end */
    if (link->peer_version != 0 && link->peer_version != MU_PROTOCOL_VERSION)
        mu_link_post(link, MU_FRAME_REFUSAL, 0, 0, NULL);
    mu_link_end(link, MU_PROTOCOL, 0);
}

/* Looks for a whole header and body in what is staged and unused. */
static bool next_header(struct mu_link *link)
{
    size_t unused = link->staged - link->consumed;
    const uint8_t *header = link->staging + link->consumed;
    /* A stranger shows within its first four bytes. */
    if (unused >= 4 && unused < MU_FRAME_HEADER_BYTES && memcmp(header, "MUST", 4) != 0) {
        mu_stray_show(header, unused, link->stray, sizeof(link->stray));
        not_ours(link);
        return false;
    }
    if (unused < MU_FRAME_HEADER_BYTES)
        return false;
    enum mu_status status = mu_frame_decode(header, &link->frame);
    if (memcmp(header, "MUST", 4) == 0)
        link->peer_version = header[4];
    else
        mu_stray_show(header, unused, link->stray, sizeof(link->stray));
    if (status == MU_OK && unused < MU_FRAME_HEADER_BYTES + link->frame.body_bytes)
        return false;
    if (status != MU_OK || !mu_frame_check(header, header + MU_FRAME_HEADER_BYTES)) {
        not_ours(link);
        return false;
    }
    return begin_frame(link, header);
}

static void has_landed(struct mu_link *link, size_t bytes)
{
    link->payload_done += bytes;
    if (bytes > 0 && link->payload && link->frame_events->landed)
        link->frame_events->landed(link->frame_owner, &link->frame, link->payload_done);
}

/* Moves staged bytes to the payload's place and finishes the frame if that was all of it. */
static bool end_frame(struct mu_link *link)
{
    size_t head = MU_FRAME_HEADER_BYTES + link->frame.body_bytes;
    const uint8_t *body = link->staging + link->consumed + MU_FRAME_HEADER_BYTES;
    size_t staged = link->staged - link->consumed - head;
    size_t missing = link->frame.payload_bytes - link->payload_done;
    size_t count = staged < missing ? staged : missing;
    if (count > 0 && link->payload)
        memcpy(link->payload + link->payload_done, link->staging + link->consumed + head, count);
    has_landed(link, count);
    if (count < missing) {
        link->staged -= count;
        return false;
    }
    link->in_payload = false;
    link->consumed += head + count;
    link->frame_events->arrived(link->frame_owner, link, &link->frame, body);
    return link->stream != NULL;
}

/* Hands on all that is staged; the link may be gone afterwards. */
static void dispatch(struct mu_link *link)
{
    if (link->dispatching)
        return;
    link->dispatching = true;
    pin(link);
    while (link->stream && !link->held) {
        if (link->in_payload ? !end_frame(link) : !next_header(link))
            break;
    }
    link->dispatching = false;
    if (link->consumed > 0) {
        link->staged -= link->consumed;
        memmove(link->staging, link->staging + link->consumed, link->staged);
        link->consumed = 0;
    }
    unpin(link);
}

/* True while the rest of a payload can be read straight into its place. */
static bool reads_payload(const struct mu_link *link)
{
    return link->in_payload && link->payload &&
           link->frame.payload_bytes - link->payload_done >= STRAIGHT_LEAST &&
           link->staged == link->consumed + MU_FRAME_HEADER_BYTES + link->frame.body_bytes;
}

static void on_room(void *owner, void **ret_at, size_t *ret_bytes)
{
    struct mu_link *link = owner;
    if (link->held) {
        *ret_bytes = 0;
    } else if (reads_payload(link)) {
        *ret_at = link->payload + link->payload_done;
        size_t missing = link->frame.payload_bytes - link->payload_done;
        bool in_pieces = link->frame_events->landed && missing > PIECE_BYTES;
        *ret_bytes = in_pieces ? PIECE_BYTES : missing;
    } else {
        size_t room = STAGING_BYTES - link->staged;
        *ret_at = link->staging + link->staged;
        *ret_bytes = room < link->lookahead ? room : link->lookahead;
    }
}

static void on_got(void *owner, size_t bytes)
{
    struct mu_link *link = owner;
    if (reads_payload(link)) {
        has_landed(link, bytes);
    } else {
        link->staged += bytes;
        if (bytes == link->lookahead && link->lookahead < LOOKAHEAD_MOST)
            link->lookahead *= 4;
    }
    dispatch(link);
}

static void on_ended(void *owner, int error)
{
    struct mu_link *link = owner;
    /* What came before the end counts, also if its receiver is not ready for it yet. */
    link->over = true;
    link->over_error = error;
    if (!link->held)
        mu_link_end(link, MU_CLOSED, error);
}

static void on_connected(void *owner, enum mu_status status, int error)
{
    struct mu_link *link = owner;
    if (status != MU_OK)
        link->stream = NULL; /* it has closed itself */
    link->events->connected(link->owner, link, status, error);
}

static const struct mu_stream_events stream_events = {
    .connected = on_connected,
    .room = on_room,
    .got = on_got,
    .ended = on_ended,
};

void mu_link_resume(struct mu_link *link)
{
    if (!link->held)
        return;
    link->held = false;
    if (link->stream)
        link->loop->ops->resume(link->stream);
    pin(link);
    dispatch(link); /* which may end the link */
    if (link->over && !link->held)
        mu_link_end(link, MU_CLOSED, link->over_error);
    unpin(link);
}

/* ---- questions ---- */

struct mu_decoder *mu_link_decoder(struct mu_link *link)
{
    return link->decoder;
}

void mu_link_peer_name(struct mu_link *link, char *out, size_t bytes)
{
    out[0] = '\0';
    if (link->stream && !link->peer[0])
        link->loop->ops->peer_name(link->stream, link->peer, sizeof(link->peer));
    snprintf(out, bytes, "%s", link->peer);
}

const char *mu_link_stray(struct mu_link *link)
{
    return link->stray;
}

size_t mu_link_some(struct mu_link *link, char *out, size_t bytes)
{
    size_t unused = link->staged - link->consumed;
    mu_stray_show(link->staging + link->consumed, unused, out, bytes);
    return unused;
}

int mu_link_peer_version(struct mu_link *link)
{
    return link->peer_version;
}

bool mu_link_alive(struct mu_link *link)
{
    return link->stream != NULL;
}
