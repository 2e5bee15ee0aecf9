/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_LINK_INSIDE_H
#define MU_IO_LINK_INSIDE_H

#include "runtime/io/link.h"

/*
 * A link from inside. link.c: its life and what it receives; link_send.c: what it sends.
 */
#define MU_LINK_STRAY_BYTES 48

struct mu_link_post;

struct mu_link {
    struct mu_loop *loop;
    struct mu_stream *stream; /* NULL once ended */
    const struct mu_link_events *events;
    void *owner;
    struct mu_decoder *decoder;

    uint8_t *staging;
    size_t staged, consumed; /* bytes in staging; of those, used up */
    size_t lookahead;        /* that are staged at once */
    struct mu_frame frame;   /* at hand */
    /* Who was asked about it: an adoption takes effect with the next one. */
    const struct mu_link_events *frame_events;
    void *frame_owner;
    bool in_payload, held, dispatching, doomed;
    bool over; /* the stream has ended; what it brought before is still being handed on */
    int over_error;
    int pins;         /* functions at work that look at the link after a callback */
    uint8_t *payload; /* NULL: skipped */
    size_t payload_done;

    struct mu_link_post *free_posts;
    int posts_waiting;
    int peer_version;
    char stray[MU_LINK_STRAY_BYTES + 1];
    char peer[80]; /* while it was there */
};

/* Tells the owner, once, that the link is over. */
void mu_link_end(struct mu_link *link, enum mu_status why, int error);
/* Of a link whose stream is closed: no post is under way. */
void mu_link_free_posts(struct mu_link *link);

#endif
