/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_INSIDE_H
#define MU_PS_SERVER_INSIDE_H

#include "ps/arrivals.h"
#include "ps/ps_bodies.h"
#include "ps/seen.h"
#include "ps/server.h"
#include "ps/server_pieces.h"
#include "ps/server_rows.h"
#include "ps/shard.h"
#include "ps/vectors.h"

/*
 * What the files of the server share:
 *
 *   server.c           runs the order: what the callbacks have queued, one after the other
 *   server_serve.c     one gradient of it, from its verdict to its answer
 *   server_modes.c     which mode holds; server_auto.c chooses its backups or its bound
 *   server_links.c     callbacks of links, which only fill buffers and append to the queue
 *   server_order.c     the same of links between servers
 *   server_takeover.c  another one becomes the head
 *   server_heal.c      links between servers that break
 *   server_relink.c    workers that come back
 *   server_readers.c   who does not read its answers; what the server keeps
 *   server_share.c     memory that workers share
 *   server_state.c     is restored, takes snapshots; server_pieces.c sends the rows of these
 *   server_rows.c      embedding rows in all of these but snapshots
 *   server_audit.c     writes down what was done
 */
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
    float *own;          /* (span.count) */
    float *data, *fresh; /* the gradient; the answer: `own`, or in memory that the worker shares */
    int worker;
    uint64_t sequence;
    uint64_t tag; /* that the worker gave it; another than `sequence` is refused */
    enum mu_ps_item item;
    enum mu_ps_flaw flaw; /* that this server found */
    int64_t seen;
    float scale;
    bool wants_fresh; /* the answer brings the parameters */
    /* Head: on how many servers it is whole, and the worst that they found. May be of the next
     * round already while the reply of this round is still on its way, so these are not reset with
     * the rest. */
    int here_count;
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

/* The other end of a link. */
struct mu_ps_peer {
    struct mu_ps_server *server;
    enum mu_ps_peer_kind kind;
    int index;
    struct mu_link *link; /* NULL: not there yet */
    bool ended, held, refused;
    /* Worker: the oldest answer that it had not taken at the last look, and since which look. */
    uint64_t unread_sequence;
    int64_t unread_since_ns; /* -1: there was none */
    /* Of the frame at hand. */
    struct mu_ps_buffer *buffer;
    size_t looked_at;          /* worker: elements of the gradient */
    enum mu_ps_flaw note_flaw; /* follower */
    int note_worker;           /* head: that was lost, if there is no buffer */
    uint64_t sequence_next;    /* worker */
    uint32_t link_number;      /* the how manieth link this is, where another one may come */
    /* Worker that may come back: it has said READY on this link, and which numbers come on it
     * again; is the frame at hand one of those? */
    bool ready, is_again;
    uint64_t again_next, again_end;
    uint64_t *noted;            /* follower: (replica_count) the next note of each worker */
    bool is_lost;               /* server: its process is gone */
    int64_t gone_ns;            /* server: since when its link is gone */
    bool is_behind, catches_up; /* it has missed something; it asks for that, from `place` on */
    /* Server, where a deputy takes over. */
    bool has_place, goes_on;        /* it has said how far it is; it knows whom it follows now */
    uint64_t place;                 /* places that it has served, or has been told of */
    bool place_asks;                /* of the frame at hand */
    struct mu_shared_memory shared; /* worker: zeroed: none */
};

/* A place in the order: a buffer, or (NULL) a worker that was lost or has joined, or (-1) a
 * snapshot, or the end of what a head that is lost has said. */
struct mu_ps_event {
    struct mu_ps_buffer *buffer;
    int lost;
    bool joins, chooses, ends_head;
    bool gives; /* the snapshot goes to the leader */
    uint64_t snapshot_id;
};

/* Choosing backups or a bound (server_auto.c). */
enum mu_ps_auto_state {
    MU_PS_AUTO_IDLE,
    MU_PS_AUTO_WAITING,
    MU_PS_AUTO_MEASURING,
    MU_PS_AUTO_DUE,
    MU_PS_AUTO_CHECKING,
};

struct mu_ps_auto {
    enum mu_ps_auto_state state; /* head, and its deputy */
    struct mu_arrivals arrivals;
    /* (replica_count) when each was sent on; -1: not known; NULL: nothing is chosen here. */
    int64_t *sent_ns;
    int64_t since_ns, since_version; /* of the steps that are measured, or checked */
    int64_t last_ns;                 /* when the last gradient was served meanwhile */
    int64_t value;
    double gain, rate; /* predicted; gradients a second before it */
    struct mu_ps_chosen chosen;
    struct mu_ps_verdict_body told; /* follower: what the head says */
    bool told_queued;
};

/* What servers know of a worker besides its link; the same on all of them. */
struct mu_ps_worker {
    uint64_t clock;     /* its gradients so far, those of the warm-up not counted */
    bool left, is_lost; /* is_lost: that has, or on the head will get, its place in the order */
    int refused_in_row;
    uint64_t verdicts[MU_VERDICT_COUNT];
    int64_t incarnation;
    bool is_dead; /* the cluster has said so of this incarnation */
    /* Head: it joins at a place to come; follower: what follows is still to be done. */
    bool changes;
    struct mu_ps_verdict_body change; /* what the head says of its loss, or that it joins */
};

/* What a worker was told of one of its pushes or pulls. */
struct mu_ps_answer {
    uint64_t sequence, tag;
    uint32_t link_number; /* the link it was told on */
    bool is_there;
    struct mu_ps_fresh_body fresh;
};

/* What a verdict was about, for servers that have not heard of it. */
struct mu_ps_known {
    uint64_t tag;
    struct mu_ps_verdict_body verdict;
};

/* What a server knows of the others when one of them is lost (server_takeover.c). */
struct mu_ps_standby {
    int seat_count, live_count; /* of all seats; of those not lost */
    int head;                   /* seat */
    int lost;                   /* process; -1: none */
    enum mu_ps_takeover {
        MU_PS_TAKEOVER_NONE,
        MU_PS_TAKEOVER_ENDING,     /* what the old head has said is served to its end */
        MU_PS_TAKEOVER_COLLECTING, /* deputy: how far are the others? */
        MU_PS_TAKEOVER_ASKING,     /* deputy: what the furthest one knows */
        MU_PS_TAKEOVER_TELLING,    /* deputy: the same to the others */
        MU_PS_TAKEOVER_FOLLOWING,  /* others: until the deputy says that it is the head */
    } takeover;
    uint64_t place;            /* places served so far, snapshots not counted */
    uint64_t wanted;           /* ASKING: the place of the furthest */
    uint64_t heard;            /* places that the head has told of */
    struct mu_ps_known *known; /* the last ones, a ring; NULL: nobody may ask for them */
    size_t known_capacity;
    uint64_t snapshot_id, snapshot_place; /* head: the last one, and what was served before it */
    bool tells;                           /* FOLLOWING: the deputy wants what follows `told` */
    uint64_t told;
};

/* A snapshot that is being sent to the leader. */
struct mu_ps_state_stream {
    struct mu_arena copies[MU_SHARD_VECTORS_MAX];
    struct mu_send sends[MU_SHARD_VECTORS_MAX];
    uint8_t first_body[MU_PS_STATE_BODY_MAX];
    uint8_t bodies[MU_SHARD_VECTORS_MAX][MU_PS_BODY_MAX];
    int sends_pending;
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
    struct mu_arena buffer_memory;
    uint64_t *noted; /* of all followers */

    struct mu_ps_event *queue; /* a ring of queue_capacity */
    size_t queue_first, queue_count, queue_capacity;
    int waiting_count; /* buffers that need another server to go on */
    int other_ended;   /* seat of a server whose link has ended; -1: none */
    int gone_count;    /* servers whose link has ended, and another one may come */
    struct mu_ps_standby standby;
    bool look_again;  /* something was freed that a held link may wait for */
    bool readers_due; /* it is time to look who does not read */
    /* At most one: follower: in the queue; head: as soon as nothing is gathered. */
    bool snapshot_queued;
    uint64_t snapshot_id;                   /* head */
    uint64_t snapshot_heard;                /* follower: the last one */
    bool snapshot_gives, snapshot_is_again; /* follower, of the frame at hand */
    bool snapshot_is_old; /* of the frame at hand: the leader has not heard of a loss */
    struct mu_ps_state_stream stream;
    int64_t updates_total; /* RESTORE */
    uint32_t restored;     /* vectors that have come, bit by bit */
    int restoring_count;   /* vectors that will come */

    struct mu_row_store rows; /* if the model has embedding rows, else zeroed */
    uint8_t *row_memory;      /* of all buffers */
    uint32_t *row_where;      /* of all buffers */
    uint64_t *row_answered;   /* of all buffers */
    struct mu_unique row_ids; /* of the ROWS at hand */
    size_t row_stride;        /* of one, in bytes */
    struct mu_ps_row_pieces pieces;
    struct mu_ps_load load;

    struct mu_seen seen;          /* if the policy corrects, else zeroed */
    int held_count;               /* answers that wait */
    struct mu_ps_worker *ledger;  /* (replica_count) */
    struct mu_ps_answer *answers; /* (replica_count, 2 * in_flight_max), if workers may come back */
    int active_count;             /* that have not left */

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
    return seat != server->options.order && !server->others[seat].is_lost;
}

/* Is this seat of another server told of what gets its place in the order? Else it asks. */
static inline bool mu_ps_is_told(const struct mu_ps_server *server, int seat)
{
    const struct mu_ps_peer *peer = &server->others[seat];
    return mu_ps_is_other(server, seat) && peer->link && !peer->is_behind;
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

/* server.c */
/* Head: to one follower. */
void mu_ps_tell_snapshot(struct mu_ps_server *server, int seat, uint64_t snapshot_id);
void mu_ps_queue(struct mu_ps_server *server, struct mu_ps_event event);
/* Remembers the first failure since run last returned one; accuse says what the peer did, too. */
void mu_ps_failed(struct mu_ps_server *server, const struct mu_ps_peer *peer, enum mu_status why);
void mu_ps_accuse(const struct mu_ps_peer *peer, enum mu_error error, const char *did);

/* server_serve.c */
/* A frame about a buffer, which is not free until it has left. */
void mu_ps_buffer_send(struct mu_ps_buffer *buffer, struct mu_ps_peer *peer, struct mu_send *send,
    const struct mu_frame *frame, const void *body, const void *payload);
/* The same once nothing is sent of it any more; it needs no answer. */
void mu_ps_buffer_leave(struct mu_ps_buffer *buffer);
/* Head: what changes with a worker, to the followers. */
void mu_ps_tell_change(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
enum mu_status mu_ps_check_version(
    const struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
/* The next place in the order: judged on the head, carried out, and answered or held. */
enum mu_status mu_ps_serve_buffer(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* A worker that goes on no more although it has not said so. */
enum mu_status mu_ps_serve_loss(struct mu_ps_server *server, int worker);

/* Where those that wait can go on. */
void mu_ps_release(struct mu_ps_server *server);
/* The least clock of those that go on, `except` one (-1: none); UINT64_MAX: there is none. */
uint64_t mu_ps_slowest(const struct mu_ps_server *server, int except);

/* server_order.c */
/* The gradient (or pull) in this buffer is whole here. */
void mu_ps_here(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* The same of all that waits: to a head that does not know. */
void mu_ps_tell_here(struct mu_ps_server *server);
/* Head: counts anew on how many servers each one is whole, after one of them was lost. */
void mu_ps_count_here(struct mu_ps_server *server);
enum mu_link_answer mu_ps_on_verdict(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
void mu_ps_verdict_arrived(struct mu_ps_peer *peer);
void mu_ps_add_peer(
    struct mu_ps_peer *peer, struct mu_link *link, const struct mu_link_events *events);
void mu_ps_peer_ended(void *owner, struct mu_link *link, enum mu_status why, int error);

/* server_takeover.c */
enum mu_status mu_ps_standby_init(struct mu_ps_server *server); /* NO_MEMORY */
void mu_ps_standby_finish(struct mu_ps_server *server);
/* At each place in the order but snapshots: it will have been served. */
void mu_ps_standby_note(
    struct mu_ps_server *server, uint64_t tag, const struct mu_ps_verdict_body *verdict);
/* All that the lost head has said is served. */
enum mu_status mu_ps_takeover_begin(struct mu_ps_server *server);
/* Goes on with it, if one is under way. */
enum mu_status mu_ps_takeover_step(struct mu_ps_server *server);
enum mu_link_answer mu_ps_takeover_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
void mu_ps_takeover_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* Is what came after this place still known? It is sent verdict by verdict, if there is room. */
bool mu_ps_standby_knows(const struct mu_ps_server *server, uint64_t place);
bool mu_ps_standby_has_room(const struct mu_ps_peer *peer);
void mu_ps_standby_post(struct mu_ps_server *server, struct mu_ps_peer *peer, uint64_t place);
/* To the next head: how far this one is. */
void mu_ps_takeover_follow(struct mu_ps_server *server);
/* May a follower's notes be counted? */
static inline bool mu_ps_hears_notes(const struct mu_ps_server *server)
{
    return server->options.order == server->standby.head &&
           (server->standby.takeover == MU_PS_TAKEOVER_NONE ||
               server->standby.takeover == MU_PS_TAKEOVER_TELLING);
}

/* server_heal.c: the link of another server has ended. False: it does not come back. */
bool mu_ps_heal_ended(struct mu_ps_peer *peer, enum mu_status why);
void mu_ps_heal_lose(struct mu_ps_peer *peer);      /* the server is lost */
void mu_ps_heal_check(struct mu_ps_server *server); /* fails when patience is over */
/* Before a link is added, the first one or another. False: the server is lost. On a follower then
 * what is missing of both sides is asked for; on the head: a follower asks. */
bool mu_ps_heal_begin(struct mu_ps_peer *peer);
void mu_ps_heal_ask(struct mu_ps_peer *head);
enum mu_link_answer mu_ps_heal_frame(struct mu_ps_peer *peer, const struct mu_frame *frame);
void mu_ps_heal_arrived(struct mu_ps_peer *peer);
void mu_ps_heal_step(struct mu_ps_server *server);

/* server_relink.c */
enum mu_status mu_ps_relink_init(struct mu_ps_server *server); /* NO_MEMORY */
/* May this worker be sent something now? */
static inline bool mu_ps_can_answer(const struct mu_ps_peer *worker)
{
    return worker->link && (worker->ready || !worker->server->options.relinks);
}
/* Remembers what is, or would be, answered now. */
void mu_ps_relink_note(struct mu_ps_server *server, const struct mu_ps_buffer *buffer,
    const struct mu_ps_fresh_body *fresh);
/* The link of a worker is gone, or is to go. */
void mu_ps_relink_end(struct mu_ps_peer *peer);
/* READY, and what comes again. False: it is a frame like others. */
bool mu_ps_relink_frame(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body,
    enum mu_link_answer *ret_answer);
void mu_ps_relink_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* What is whole here of a worker that is gone, and will not be judged. */
void mu_ps_relink_drop(struct mu_ps_server *server, int worker);
/* A place in the order: judged on the head, and done. */
enum mu_status mu_ps_relink_join(struct mu_ps_server *server, int worker);

/* server_modes.c */
/* Makes the plan of the options. */
void mu_ps_modes_init(struct mu_ps_server *server);
/* To be asked after every change of the version: goes to its phase. */
void mu_ps_modes_follow(struct mu_ps_server *server);
static inline const struct mu_ps_phase *mu_ps_phase_of(const struct mu_ps_server *server)
{
    return &server->plan.phase[server->phase];
}

/* server_auto.c: on the head and its deputy, if some phase of the plan has auto_steps; else nothing
 * happens. */
enum mu_status mu_ps_auto_init(struct mu_ps_server *server); /* NO_MEMORY */
void mu_ps_auto_finish(struct mu_ps_server *server);
void mu_ps_auto_enter(struct mu_ps_server *server); /* a phase begins */
/* A gradient of this worker has come; an answer goes to it. */
void mu_ps_auto_came(struct mu_ps_server *server, int worker);
void mu_ps_auto_sent(struct mu_ps_server *server, int worker);
/* A gradient has been served. */
void mu_ps_auto_look(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
void mu_ps_auto_take_over(struct mu_ps_server *server); /* it has become the head */
/* Is a choice the next place in the order? On every server: what it changes. */
bool mu_ps_auto_due(const struct mu_ps_server *server);
/* Follower: what the head says. False: one is queued already. */
bool mu_ps_auto_told(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict);
enum mu_status mu_ps_auto_serve(struct mu_ps_server *server);

/* server_audit.c: nothing happens where there is no log. */
void mu_ps_audit_begin(struct mu_ps_server *server);
bool mu_ps_audit_ready(const struct mu_ps_server *server);
enum mu_status mu_ps_audit_status(const struct mu_ps_server *server);
/* Before the verdict is carried out; `buffer` NULL: a loss. */
void mu_ps_audit_note(struct mu_ps_server *server, const struct mu_ps_verdict_body *verdict,
    const struct mu_ps_buffer *buffer);

/* server_links.c */
/* Says what the peer did wrong. */
__attribute__((format(printf, 2, 3))) enum mu_link_answer mu_ps_refuse(
    struct mu_ps_peer *peer, const char *format, ...);
/* The same without an answer. */
__attribute__((format(printf, 2, 3))) void mu_ps_blame(
    struct mu_ps_peer *peer, const char *format, ...);
void mu_ps_peer_name(const struct mu_ps_peer *peer, char *out, size_t bytes);
void mu_ps_cut(struct mu_ps_peer *peer); /* ends the link of a worker, which is not asked */
/* Head: the loss of a worker gets a place in the order, if it has not left. */
void mu_ps_lost(struct mu_ps_server *server, int worker);
enum mu_link_answer mu_ps_refuse_type(struct mu_ps_peer *peer, const struct mu_frame *frame);
/* Is the frame of this generation? If not, the peer is refused. */
bool mu_ps_is_of_now(struct mu_ps_peer *peer, const struct mu_frame *frame);
enum mu_link_answer mu_ps_hold(struct mu_ps_peer *peer);
void mu_ps_resume_held(struct mu_ps_server *server);

/* server_share.c */
enum mu_link_answer mu_ps_share_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body);
/* All elements of a gradient that lies in memory that its worker shares; others were looked at as
 * they came. */
void mu_ps_share_look(struct mu_ps_server *server, struct mu_ps_buffer *buffer);
/* Where the gradient comes from and the answer goes, 0: with the frames. False: a place is not in
 * the memory that the worker shares. */
bool mu_ps_share_places(
    struct mu_ps_peer *peer, struct mu_ps_buffer *buffer, int64_t gradient_at, int64_t fresh_at);
/* The worker has gone; its memory goes too, as soon as no gradient in it is under way. */
void mu_ps_share_drop(struct mu_ps_peer *peer);

/* server_readers.c */
/* Says that it is time to look, every now and then; NULL: nobody is cut off for it. */
enum mu_status mu_ps_readers_watch(struct mu_ps_server *server, struct mu_timer **ret_timer);
/* Cuts off whose patience is over: the failure says who. */
void mu_ps_readers_check(struct mu_ps_server *server);

/* server_state.c */
enum mu_link_answer mu_ps_leader_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload);
void mu_ps_leader_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body);
/* The leader's link is gone, and what it has not got of a snapshot: another one will come. */
void mu_ps_state_unlink(struct mu_ps_server *server);
/* Can a snapshot be taken now? */
bool mu_ps_state_free(const struct mu_ps_server *server);
/* Copies the state as it is and starts to send it; embedding rows are not copied, and go as they
 * are now, too. The loop turns meanwhile. NO_MEMORY (MU_E0801). */
enum mu_status mu_ps_state_take(struct mu_ps_server *server, uint64_t snapshot_id);

#endif
