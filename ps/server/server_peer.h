/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_PEER_H
#define MU_PS_SERVER_PEER_H

#include "ps/ps_bodies.h"
#include "ps/server/server.h"
#include "runtime/io/link.h"
#include "runtime/io/shared_memory.h"

/* The other end of a link, whosever it is: what is said to it, and of it. */
struct mu_ps_server;
struct mu_ps_buffer;

/* The frame that is on its way, from its header to its end. */
struct mu_ps_at_hand {
    struct mu_ps_buffer *buffer; /* what it brings, or is about; NULL: none */
    size_t looked_at;            /* from a worker: elements of the gradient */
    bool is_again;               /* from a worker: a number that came on an earlier link, too */
    struct mu_ps_note_body note; /* a follower's */
    /* The head's, without a buffer: the worker that is lost or comes back; -1: no worker, for it
     * says what it has chosen (server_auto.c). A follower's: the worker that it has cut off; -1:
     * none. */
    int change_worker;
    bool asks_place; /* another server's PLACE: it wants ours */
};

/* A worker's pushes, and its other memory. */
struct mu_ps_of_worker {
    uint64_t sequence_next;
    /* It may come back on another link: it has said READY on this one; these numbers come again. */
    bool ready;
    uint64_t again_next, again_end;
    /* The oldest answer that it had not taken at the last look, and since which look. */
    uint64_t unread_sequence;
    int64_t unread_since_ns;               /* -1: there was none */
    struct mu_shared_memory shared;        /* zeroed: none */
    struct mu_shared_memory shared_before; /* of which something is still in use; zeroed: none */
};

/* Another server: what it has missed, and how far it is when a deputy takes over. */
struct mu_ps_of_server {
    uint64_t *noted;            /* a follower: (replica_count) the next note of each worker */
    bool is_lost;               /* its process is gone */
    int64_t gone_ns;            /* since when its link is */
    bool is_behind, catches_up; /* it has missed something; it asks for that, from `place` on */
    bool has_place, goes_on;    /* it has said how far it is; it knows whom it follows now */
    uint64_t place;             /* places that it has served, or has been told of */
};

struct mu_ps_peer {
    struct mu_ps_server *server;
    enum mu_ps_peer_kind kind;
    int index;
    struct mu_link *link; /* NULL: not there yet */
    uint32_t link_number; /* the how manieth link this is, where another one may come */
    bool ended, held, refused;
    struct mu_ps_at_hand at_hand;
    struct mu_ps_of_worker of_worker; /* zeroed if it is none */
    struct mu_ps_of_server of_server; /* zeroed if it is none */
};

void mu_ps_add_peer(
    struct mu_ps_peer *peer, struct mu_link *link, const struct mu_link_events *events);
void mu_ps_peer_ended(void *owner, struct mu_link *link, enum mu_status why, int error);

/* Remembers the first failure since run last returned one; accuse says what the peer did, too. */
void mu_ps_failed(struct mu_ps_server *server, const struct mu_ps_peer *peer, enum mu_status why);
void mu_ps_accuse(const struct mu_ps_peer *peer, enum mu_error error, const char *did);
/* Says what the peer did wrong. */
__attribute__((format(printf, 2, 3))) enum mu_link_answer mu_ps_refuse(
    struct mu_ps_peer *peer, const char *format, ...);
/* The same without an answer. */
__attribute__((format(printf, 3, 4))) void mu_ps_blame(
    struct mu_ps_peer *peer, enum mu_error error, const char *format, ...);
enum mu_link_answer mu_ps_refuse_type(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* Is the frame of this generation? If not, the peer is refused. */
bool mu_ps_is_of_now(struct mu_ps_peer *peer, const struct mu_frame *frame);
void mu_ps_peer_name(const struct mu_ps_peer *peer, char *out, size_t bytes);

enum mu_link_answer mu_ps_hold(struct mu_ps_peer *peer);
void mu_ps_resume_held(struct mu_ps_server *server);

void mu_ps_cut(struct mu_ps_peer *peer); /* ends the link of a worker, which is not asked */
/* The loss of a worker gets a place in the order, if it has not left: the head sees to that, and is
 * told of it (server_order.c). */
void mu_ps_lost(struct mu_ps_server *server, int worker);

#endif
