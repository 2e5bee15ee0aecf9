/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TCP_PEER_H
#define MU_COLLECTIVES_TCP_PEER_H

#include "collectives/transport/tcp.h"

/* What the files of the tcp transport share: tcp.c moves the data, tcp_notes.c says and hears what
 * ranks are doing, tcp_home.c puts other links in the place of the first, tcp_streams.c moves parts
 * of long messages over further links, which tcp_widen.c makes. */
struct mu_tcp;
struct mu_tcp_peer;
struct mu_tcp_part;

/* A further link to a rank. */
struct mu_tcp_stream {
    struct mu_tcp_peer *peer;
    struct mu_link *link; /* NULL: over */
    struct mu_op *op;     /* a part of it is arriving; NULL: none that is waited for */
};

struct mu_tcp_peer {
    struct mu_tcp *tcp;
    int rank;
    struct mu_link *link;         /* NULL: none, this rank itself, or over */
    bool reached;                 /* there was one */
    enum mu_status over;          /* why it gets nothing and gives nothing any more; OK: it does */
    struct mu_op *first, **last;  /* receives that are posted and not done, oldest first */
    bool takes;                   /* the first of them is arriving */
    bool holds;                   /* its next segment is of nothing that this rank has come to */
    struct mu_op *open;           /* whose first part is here, and others are not */
    bool at_home;                 /* the link is a unix socket */
    struct mu_tcp_stream *stream; /* (streams) part i + 1 comes and goes over stream[i] */
    int streams;
    int parts_max;                    /* that a message is sent in */
    struct mu_tcp_part *part, *spare; /* sends of parts: all, and those that are not under way */
    struct mu_signature told;         /* of ours, with the last message that had one */
    struct mu_signature signs;        /* it its last message that had one */
};

struct mu_tcp {
    struct mu_transport base;
    uint32_t generation;
    struct mu_tcp_peer *peer; /* (count) */
    bool inside;              /* an operation: a wait is under way, or the last one failed */
    struct mu_signature signed_last,
        signed_before;    /* operations of ours, not steps, with some message */
    struct mu_op *waited; /* for this one; NULL: none is under way */
    /* What is held is looked at again in the next operation: it may turn out to be of another. */
    bool holds;                /* some peer's link */
    struct mu_signature held;  /* ours when that was looked at last */
    struct mu_signature waits; /* in this operation the others are told at `tell_ns` */
    int64_t tell_ns;
    /* Who ended it all: the first that said it goes no further, or does something else; NULL:
     * nobody has. */
    const struct mu_tcp_peer *ended;
    enum mu_status ended_as;
    struct mu_signature ended_in; /* what this rank did then; its next operation may be another's */
    /* Nobody will post receives for what comes: it is thrown away, so that the notes behind it
     * arrive. */
    bool drains;
    bool surveyed; /* everybody has answered */
    void *probe;   /* memory of a measurement, which links may know until they are closed */
};

/* Frames of the peer come over this link from now on. */
void mu_tcp_take_link(struct mu_tcp_peer *peer, struct mu_link *link);
/* The peer ends: what is posted finishes with `why`, and so does all that is asked of it later.
 * CLOSED: its link is closed. */
void mu_tcp_lose(struct mu_tcp_peer *peer, enum mu_status why);
/* The peer ends, and sends nothing more. What has begun to arrive over further links does so. */
void mu_tcp_leave(struct mu_tcp_peer *peer, enum mu_status why);
/* This rank goes no further (CLOSED, TIMEOUT) or does something else (PROTOCOL): what others were
 * to send for the same operation may never come, so all waits end, with its name; unless it takes
 * no part in that: then it is only lost. */
void mu_tcp_end(struct mu_tcp_peer *because, enum mu_status why);
/* It does something else, as this rank has seen and tells it. */
void mu_tcp_differ(struct mu_tcp_peer *peer);

/* ---- tcp_streams.c ---- */

/* The flags of a SEGMENT: does it belong to what was signed last; how many parts has the message,
 * and which is this? */
#define MU_TCP_SIGNED 1
#define MU_TCP_PARTS_SHIFT 4
#define MU_TCP_PART_SHIFT 8
static inline int mu_tcp_parts_of(const struct mu_frame *frame)
{
    return (frame->flags >> MU_TCP_PARTS_SHIFT & 15) + 1;
}
static inline int mu_tcp_part_of(const struct mu_frame *frame)
{
    return frame->flags >> MU_TCP_PART_SHIFT & 15;
}
static inline size_t mu_tcp_part_first(size_t bytes, int parts, int part)
{
    return bytes * (size_t)part / (size_t)parts;
}
static inline size_t mu_tcp_part_bytes(size_t bytes, int parts, int part)
{
    return mu_tcp_part_first(bytes, parts, part + 1) - mu_tcp_part_first(bytes, parts, part);
}

/* Gives the peer `links` (count) as further streams and takes them. NO_MEMORY: they are closed. */
enum mu_status mu_tcp_add_streams(
    struct mu_tcp_peer *peer, struct mu_link *const links[], int count);
/* Closes all but the first `streams` of them. */
void mu_tcp_trim_streams(struct mu_tcp_peer *peer, int streams);
/* Closes all once the peer's host has what was sent over them, or at the deadline. */
void mu_tcp_flush_streams(struct mu_tcp_peer *peer, int64_t deadline_ns);
/* Closes all and frees what they had. */
void mu_tcp_end_streams(struct mu_tcp_peer *peer);
void mu_tcp_resume_streams(struct mu_tcp_peer *peer);
/* Nothing that arrives is waited for any more. */
void mu_tcp_forget_parts(struct mu_tcp_peer *peer);
/* In how many parts a message goes; 1: as it is. */
int mu_tcp_cut(const struct mu_tcp_peer *peer, size_t bytes);
/* Sends all parts but the first, which has the header of the whole. */
void mu_tcp_send_parts(
    struct mu_tcp_peer *peer, struct mu_op *op, uint64_t tag, const void *from, size_t bytes);
/* The first part of the first receive is here. */
void mu_tcp_first_part(struct mu_tcp_peer *peer, struct mu_op *op);
/* One of the sends that an op is made of has finished. */
void mu_tcp_part_sent(struct mu_op *op, enum mu_status status);

/* ---- tcp_notes.c ---- */

/* What this rank does as a whole; NULL: nothing. */
const struct mu_signature *mu_tcp_doing(const struct mu_tcp *tcp);
/* A segment may have the sender's signature for its body: false if that is not one. */
bool mu_tcp_hear_segment(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body);
/* Is a segment of what this rank is doing, too? */
bool mu_tcp_same_operation(const struct mu_tcp_peer *peer, const struct mu_frame *frame);
/* Or of something that this rank may still come to? What it has passed will never be received. */
bool mu_tcp_may_become_same(const struct mu_tcp_peer *peer, const struct mu_frame *frame);
/* Adds our signature to a segment if the peer does not know it yet; returns the body. */
const void *mu_tcp_sign(struct mu_tcp_peer *peer, struct mu_op *op, struct mu_frame *frame);
/* A frame that is no segment has come. */
void mu_tcp_hear_note(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body);

enum mu_tcp_note { MU_TCP_TELLS = 0, MU_TCP_ASKS = 1, MU_TCP_DIFFERS = 2 };
void mu_tcp_tell(struct mu_tcp_peer *peer, enum mu_tcp_note note);
/* Without being asked, to those who read. */
void mu_tcp_tell_all(struct mu_tcp *tcp);

/* What nobody will post receives for is thrown away from now on. */
void mu_tcp_drain(struct mu_tcp *tcp);
void mu_tcp_abort(struct mu_transport *transport, enum mu_status status, int late, const char *why);
void mu_tcp_survey(struct mu_transport *transport, int64_t deadline_ns);

#endif
