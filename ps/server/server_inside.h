/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_INSIDE_H
#define MU_PS_SERVER_INSIDE_H

#include "ps/server/seen.h"
#include "ps/server/server.h"
#include "ps/server/server_answers.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_buffer.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_pieces.h"
#include "ps/server/server_queue.h"
#include "ps/server/server_rows.h"
#include "ps/server/server_state.h"
#include "ps/server/server_takeover.h"
#include "ps/shard.h"
#include "ps/vectors.h"

/*
 * The server as its own files see it. Each part has a header of its own, with what the server keeps
 * for it and what the other parts ask of it:
 *
 *   server.c           runs the order (server_queue.c): what the callbacks have queued, one by one
 *   server_serve.c     one gradient of it, from its verdict to its answer
 *   server_buffer.c    where a gradient lies meanwhile
 *   server_lay.c       all memory that a server has from its start on, before it serves
 *   server_modes.c     which mode holds; server_auto.c chooses its backups or its bound
 *   server_peer.c      what all links have in common
 *   server_links.c     callbacks of links, which only fill buffers and append to the queue
 *   server_order.c     the same of links between servers
 *   server_takeover.c  another one becomes the head; server_known.c what it may ask for
 *   server_heal.c      links between servers that break
 *   server_relink.c    workers that come back; server_answers.c what they were told
 *   server_readers.c   who does not read its answers; what the server keeps
 *   server_share.c     memory that workers share
 *   server_state.c     is restored, takes snapshots; server_pieces.c sends the rows of these
 *   server_rows.c      embedding rows in all of these but snapshots
 *   server_audit.c     writes down what was done
 */

/* What servers know of a worker besides its link; the same on all of them. */
struct mu_ps_worker {
    uint64_t clock;     /* its gradients so far, those of the warm-up not counted */
    bool left, is_lost; /* is_lost: that has, or on the head will get, its place in the order */
    int refused_in_row;
    uint64_t verdicts[MU_VERDICT_COUNT];
    int64_t incarnation;
    bool is_dead; /* the cluster has said so of this incarnation */
    bool is_cut;  /* not on the head: its link here is gone for good; the head is to know */
    bool cut_told;
    /* Head: it joins at a place to come; follower: what follows is still to be done. */
    bool changes;
    struct mu_ps_verdict_body change; /* what the head says of its loss, or that it joins */
};

struct mu_ps_server {
    struct mu_ps_server_options options;
    struct mu_ps_plan plan; /* with what was chosen */
    int phase;              /* of the plan, at the version of the shard */
    struct mu_ps_auto auto_;
    struct mu_shard shard;
    bool begun;

    struct mu_ps_peer *workers; /* (replica_count) */
    struct mu_ps_peer leader;
    /* By seat: on the head, and its deputy, its followers; on a follower the head and the deputy.
     */
    struct mu_ps_peer others[MU_PS_SEATS_MAX];
    struct mu_ps_buffer *buffers; /* (replica_count, in_flight_max) */
    struct mu_send *told;         /* of all buffers */
    struct mu_ps_vectors vectors; /* of all buffers */
    uint64_t *noted;              /* of all followers */

    struct mu_ps_queue queue; /* the order */
    int waiting_count;        /* buffers that need another server to go on */
    int other_ended;          /* seat of a server whose link has ended; -1: none */
    int gone_count;           /* servers whose link has ended, and another one may come */
    bool losses_due; /* a worker was cut off here, or there is another head to tell of it */
    struct mu_ps_standby standby;
    bool look_again;  /* something was freed that a held link may wait for */
    bool readers_due; /* it is time to look who does not read */
    struct mu_ps_state state;

    struct mu_ps_server_rows rows; /* zeroed where the model has no embedding rows */
    struct mu_ps_row_pieces pieces;
    struct mu_ps_load load;

    struct mu_seen seen;          /* if the policy corrects, else zeroed */
    int held_count;               /* answers that wait */
    struct mu_ps_worker *ledger;  /* (replica_count) */
    struct mu_ps_answers answers; /* zeroed where no worker may come back */
    int active_count;             /* that have not left */
    /* Replica 0 has: who trains alone has ended that, also if it comes back. */
    bool warmup_left;

    struct mu_staleness staleness;
    uint64_t *sequence_served; /* (replica_count) next to be served */
    int64_t *judged;           /* (replica_count) */

    enum mu_status failure;
    struct mu_ps_culprit culprit;
};

static inline struct mu_ps_buffer *mu_ps_buffer_of(
    struct mu_ps_server *server, int worker, uint64_t sequence)
{
    size_t in_flight = (size_t)server->options.in_flight_max;
    return &server->buffers[(size_t)worker * in_flight + sequence % in_flight];
}

static inline size_t mu_ps_span_bytes(const struct mu_ps_server *server)
{
    return server->shard.span.count * sizeof(float);
}

static inline size_t mu_ps_buffer_count(const struct mu_ps_server *server)
{
    return (size_t)server->options.replica_count * (size_t)server->options.in_flight_max;
}

/* Other servers that each buffer is told to. */
static inline size_t mu_ps_told_count(const struct mu_ps_server *server)
{
    bool may_judge = mu_ps_seat_may_judge(server->options.order, server->options.server_count);
    return may_judge ? (size_t)server->standby.seat_count : 1;
}

/* The number of its task, for messages: a seat is nobody's name. */
static inline int mu_ps_process(const struct mu_ps_server *server)
{
    return mu_ps_seat_process(server->options.order, server->options.server_count);
}

/* Does this server judge? */
static inline bool mu_ps_is_head(const struct mu_ps_server *server)
{
    return server->options.order == server->standby.head &&
           server->standby.takeover == MU_PS_TAKEOVER_NONE;
}

/* Is this the seat of another server that takes part? */
static inline bool mu_ps_is_other(const struct mu_ps_server *server, int seat)
{
    return seat != server->options.order && !server->others[seat].of_server.is_lost;
}

/* Is this seat of another server told of what gets its place in the order? Else it asks. */
static inline bool mu_ps_is_told(const struct mu_ps_server *server, int seat)
{
    const struct mu_ps_peer *peer = &server->others[seat];
    return mu_ps_is_other(server, seat) && peer->link && !peer->of_server.is_behind;
}

/* Does this server know whom to tell what is whole here? */
static inline bool mu_ps_knows_head(const struct mu_ps_server *server)
{
    int head = server->standby.head;
    return server->options.order == head || server->others[head].link;
}

/* Does the head know all that it has to tell? */
static inline bool mu_ps_knows_followers(const struct mu_ps_server *server)
{
    for (int i = 0; mu_ps_is_head(server) && i < server->standby.seat_count; i++)
        if (mu_ps_is_other(server, i) && !server->others[i].link)
            return false;
    return true;
}

/* Is it this server that brings its span to workers and to the leader? Else another one does. */
static inline bool mu_ps_brings(const struct mu_ps_server *server)
{
    int servers = server->options.server_count, seat = server->options.order;
    return seat < servers || server->standby.lost == seat - servers;
}

static inline const struct mu_ps_phase *mu_ps_phase_of(const struct mu_ps_server *server)
{
    return &server->plan.phase[server->phase];
}

#endif
