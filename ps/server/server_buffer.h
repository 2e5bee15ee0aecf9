/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_BUFFER_H
#define MU_PS_SERVER_BUFFER_H

#include "ps/ps_bodies.h"
#include "ps/server/server_rows.h"
#include "runtime/io/link.h"
#include "runtime/tensor/arena.h"

/* Where the pushes and pulls of workers lie from their first byte to the last one of the answer. */
struct mu_ps_server;
struct mu_ps_peer;

enum mu_ps_buffer_state {
    MU_PS_BUFFER_FREE,
    MU_PS_BUFFER_RECEIVING,
    MU_PS_BUFFER_WAITING, /* whole; head: for notes of the followers, follower: for its verdict */
    MU_PS_BUFFER_QUEUED,  /* has its place in the order */
    MU_PS_BUFFER_HELD, /* carried out; its answer waits for a version or for the slowest worker */
    MU_PS_BUFFER_SENDING, /* holds fresh parameters; free once all its sends are done */
};

/* Of one worker, for its sequence numbers that are equal modulo in_flight_max. */
struct mu_ps_buffer {
    struct mu_ps_server *server;
    enum mu_ps_buffer_state state;
    float *own;          /* (span.count) from mu_ps_buffer_take to mu_ps_buffer_give; else NULL */
    float *data, *fresh; /* the gradient; the answer: `own`, or in memory that the worker shares */
    int worker;
    uint64_t sequence;
    uint64_t tag; /* that the worker gave it; another than `sequence` is refused */
    enum mu_ps_item item;
    enum mu_ps_flaw flaw; /* that this server found */
    int64_t seen, alike;  /* of a gradient; `alike` of another request: 0 */
    float scale;
    bool wants_fresh; /* the answer brings the parameters */
    bool asks_fresh;  /* that was asked for, also where they have no place */
    bool quiet;       /* its worker waits for no answer */
    /* Head: on how many servers it is whole, what it is on the first of them, and the worst that
     * they found. May be of the next round already while the reply of this round is still on its
     * way, so these are not reset with the rest. */
    int here_count;
    enum mu_ps_item here_item;
    int64_t here_alike;
    enum mu_ps_flaw here_flaw;
    struct mu_ps_verdict_body verdict;
    int64_t fresh_version; /* of the parameters in `fresh`; -1: it holds something else */
    struct mu_ps_row_buffer rows;
    int sends_pending;
    struct mu_send reply;
    struct mu_send
        *told; /* head: the VERDICT to each follower; follower: [0] its note to the head */
    uint8_t reply_body[MU_PS_BODY_MAX], told_body[MU_PS_BODY_MAX];
};

/* The vectors for `own`, as many as buffers: what was given last is taken first, for it is still in
 * a cache. They are reserved (runtime/tensor/arena.h), so no more of them take memory than have
 * been in use at once, and none where all workers share theirs. */
struct mu_ps_vectors {
    struct mu_arena memory;
    size_t stride;      /* floats from one to the next */
    size_t *laid_bytes; /* (count) of each, from its beginning */
    float **spare;      /* (spare_count) */
    size_t spare_count;
};

enum mu_status mu_ps_vectors_init(
    struct mu_ps_vectors *vectors, size_t count, size_t element_count); /* NO_MEMORY */
void mu_ps_vectors_finish(struct mu_ps_vectors *vectors);               /* takes a zeroed one */

/* Both change nothing where that is so already. */
void mu_ps_buffer_take(struct mu_ps_buffer *buffer);
void mu_ps_buffer_give(struct mu_ps_buffer *buffer);

/* Before it is served: is every page there of its vector, if it is written to? Else up to
 * `bytes_max` more. Gradients touch it as they come; who only pulls has not. */
bool mu_ps_buffer_lay(struct mu_ps_buffer *buffer, size_t bytes_max);

/* A frame about a buffer, which is not free until it has left. */
void mu_ps_buffer_send(struct mu_ps_buffer *buffer, struct mu_ps_peer *peer, struct mu_send *send,
    const struct mu_frame *frame, const void *body, const void *payload);
/* The same once nothing is sent of it any more; it needs no answer. */
void mu_ps_buffer_leave(struct mu_ps_buffer *buffer);

#endif
