/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_LINK_H
#define MU_IO_LINK_H

#include "runtime/base/net.h"
#include "runtime/io/codec.h"
#include "runtime/io/frame.h"

/*
 * A stream that carries frames. The payload of a frame is received straight into the place that
 * its receiver names, and a receiver that has no place yet simply leaves it in the network: there
 * are no queues of unexpected messages. All on the loop's thread.
 */
struct mu_link;

enum mu_link_answer {
    MU_LINK_TAKE,   /* the payload goes to *ret_payload */
    MU_LINK_SKIP,   /* the payload is read and thrown away; `arrived` follows */
    MU_LINK_HOLD,   /* not now: nothing more is read until mu_link_resume, then asked again */
    MU_LINK_REFUSE, /* the protocol does not allow this: the link ends with PROTOCOL */
};

struct mu_link_events {
    /* A header and its body are here and checked. For payload_bytes > 0 and TAKE, *ret_payload must
     * have room for all of it until `arrived`. */
    enum mu_link_answer (*frame)(void *owner, struct mu_link *link, const struct mu_frame *frame,
        const void *body, void **ret_payload);
    /* `bytes` of the payload, from its beginning, are in their place, the last of them since the
     * last call: who has to look at them does it while they are in the cache. May be NULL. Must not
     * close the link. */
    void (*landed)(void *owner, const struct mu_frame *frame, size_t bytes);
    /* The whole frame is here. The link may be closed from inside. */
    void (*arrived)(
        void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body);
    /* CLOSED (error: errno, or 0 for an orderly end) or PROTOCOL. The owner still has to close it.
     */
    void (*ended)(void *owner, struct mu_link *link, enum mu_status why, int error);
    /* A connect has finished; may be NULL for accepted links. */
    void (*connected)(void *owner, struct mu_link *link, enum mu_status status, int error);
};

/* For a link that waits for its owner: what comes stays in the network. That it has ended shows
 * when it is taken. */
enum mu_link_answer mu_link_hold(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload);
extern const struct mu_link_events mu_link_hold_events;
/* For a link that nobody looks at any more: what comes is read, so that its end is not a reset. */
enum mu_link_answer mu_link_skip(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload);
/* For a link that must begin with a HELLO, and anything else is not our protocol. */
enum mu_link_answer mu_link_take_hello(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload);
/* An `arrived` for who has seen all there is in `frame`. */
void mu_link_ignore(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body);

/* A frame on its way, in the sender's memory; header and body and payload must stay until done. */
struct mu_send {
    struct mu_write write;
    bool done;
    enum mu_status status;                  /* OK, CLOSED */
    void (*finished)(struct mu_send *send); /* may be NULL */
    void *owner;
    uint8_t header[MU_FRAME_HEADER_BYTES];
};

enum mu_status mu_link_connect(struct mu_loop *loop, const struct mu_address *address,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link);
/* Takes an accepted stream. NO_MEMORY: the stream is closed. */
enum mu_status mu_link_accept(struct mu_loop *loop, struct mu_stream *stream,
    const struct mu_link_events *events, void *owner, struct mu_link **ret_link);
/* Hands the link to another owner. If a frame is being asked about (we are inside `frame` or
 * `arrived`), the new owner gets the next one. */
void mu_link_adopt(struct mu_link *link, const struct mu_link_events *events, void *owner);
/* No callback comes after this; sends under way finish with CLOSED. Takes NULL. Also allowed from
 * inside a callback of this link. */
void mu_link_close(struct mu_link *link);
/* Waits up to the deadline until the other host has what was sent, then closes. Its owner hears no
 * more, but for a frame that had begun to arrive; what comes after that is thrown away. */
void mu_link_flush(struct mu_link *link, int64_t deadline_ns);

/* Sends after what was sent before. `frame`'s sizes say how many bytes body and payload have. After
 * the link has ended the send is done at once, with CLOSED. */
void mu_link_send(struct mu_link *link, struct mu_send *send, const struct mu_frame *frame,
    const void *body, const void *payload);
/* For a link with large payloads: see hold_at_most of struct mu_net_ops. */
void mu_link_hold_at_most(struct mu_link *link, int bytes);
/* Copies a frame without payload and sends it; for control messages. At most MU_LINK_POSTS_MAX wait
 * at once: a peer that does not read ends with the link CLOSED (ENOBUFS). */
#define MU_LINK_POSTS_MAX 256
void mu_link_post(struct mu_link *link, uint8_t type, uint32_t generation, uint64_t tag,
    const struct mu_body *body);
int mu_link_posts_waiting(const struct mu_link *link);
void mu_link_resume(struct mu_link *link);

/* Of the link, reused for each frame: read the body of the frame at hand with it. */
struct mu_decoder *mu_link_decoder(struct mu_link *link);
void mu_link_peer_name(struct mu_link *link, char *out, size_t bytes);
/* What a peer that is not muster has sent first, printable, for messages; "" if nothing. */
const char *mu_link_stray(struct mu_link *link);
/* What has come and is not a whole frame yet, printable: how many bytes those are. */
size_t mu_link_some(struct mu_link *link, char *out, size_t bytes);
/* The protocol version of the peer's last frame, 0 before. */
int mu_link_peer_version(struct mu_link *link);
bool mu_link_alive(struct mu_link *link);

#endif
