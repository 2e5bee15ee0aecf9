/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SNAPSHOT_INSIDE_H
#define MU_PS_SNAPSHOT_INSIDE_H

#include "ps/ps_bodies.h"
#include "ps/shard.h"
#include "ps/snapshot.h"
#include "ps/table/row_piece.h"

/*
 * What the files of the leader's side share:
 *
 *   snapshot.c          what is under way and how it ends; takes snapshots
 *   snapshot_links.c    the links to the servers, those that end and those that are lost
 *   snapshot_receive.c  what comes over them
 *   snapshot_restore.c  gives the servers what they begin with
 */

/*
 * What is under way. `go` of snapshot.c knows which state may follow which:
 *
 *   idle -> linking -> coming -> here -> idle      a snapshot is taken
 *              |          |
 *              `----------+-> leaving -> left -> idle      or given up, and taken anew
 *
 *   idle -> restoring -> restored -> idle
 *
 *   any  -> failed      for good
 */
enum mu_snapshot_state {
    MU_SNAPSHOT_IDLE,
    MU_SNAPSHOT_LINKING, /* it is asked for as soon as all servers are linked */
    MU_SNAPSHOT_COMING,
    MU_SNAPSHOT_HERE,
    MU_SNAPSHOT_LEAVING, /* given up, but some of it still comes to the caller's memory */
    MU_SNAPSHOT_LEFT,
    MU_SNAPSHOT_RESTORING,
    MU_SNAPSHOT_RESTORED,
    MU_SNAPSHOT_FAILED,
};

/* The link to a server. */
enum mu_source_state {
    MU_SOURCE_UNLINKED, /* there is none: not yet, or it has ended and another one may come */
    MU_SOURCE_LINKED,
    MU_SOURCE_ENDED,   /* and no other one comes */
    MU_SOURCE_REFUSED, /* for what the server sent */
    MU_SOURCE_LOST,    /* the process is gone; there is no link */
};

/* One server. */
struct mu_snapshot_source {
    struct mu_ps_snapshot *snapshot;
    int order;
    struct mu_span span;
    enum mu_source_state state;
    struct mu_link *link;
    int64_t lost_since_ns; /* UNLINKED: its link has ended */
    /* Of the frame at hand. */
    bool is_skipped; /* it is of a snapshot that was given up */
    int vector;
    bool lands; /* it is coming to its place */
    bool waits; /* the sink has not taken `piece` yet; until then the link is held */
    /* What has come: vectors, bit by bit; all embedding rows; that all is restored. */
    uint32_t here;
    bool rows_ended, ready;
    struct mu_send sends[MU_SHARD_VECTORS_MAX];
    int sends_pending;
    struct mu_row_piece piece; /* of the embedding table, coming or going */
    struct mu_send piece_send;
};

struct mu_ps_snapshot {
    struct mu_ps_snapshot_options options;
    int vector_count;
    struct mu_snapshot_source sources[MU_PS_SEATS_MAX];
    int seat_count;
    int lost; /* the process of a server; -1: none */
    enum mu_snapshot_state state;
    bool ended;            /* the same for the loop: nothing is under way */
    bool has_begun;        /* the servers have their first state */
    int missing;           /* servers of which something is still to come */
    uint64_t id, given_up; /* given_up: up to this one */
    float *vectors[MU_SHARD_VECTORS_MAX];
    struct mu_row_sink sink;
    struct mu_timer *again; /* offers it what waits; NULL: nothing does */
    uint64_t rows_come;
    int64_t version;
    int64_t total; /* RESTORE: of updates that the run plans */
    int64_t judged[MU_PS_REPLICAS_MAX], judged_seen[MU_PS_REPLICAS_MAX];
    uint8_t first_body[MU_PS_STATE_BODY_MAX]; /* of RESTORE to the head, the counts included */
    uint8_t bodies[MU_SHARD_VECTORS_MAX][MU_PS_BODY_MAX];
    enum mu_status failure; /* the first; it stays */
    int culprit;
};

/* A snapshot is under way, or its end has not been waited for. */
static inline bool mu_snapshot_takes(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->state >= MU_SNAPSHOT_LINKING && snapshot->state <= MU_SNAPSHOT_LEFT;
}

static inline struct mu_row_split mu_snapshot_row_split(const struct mu_ps_snapshot *snapshot)
{
    return (struct mu_row_split){.server_count = snapshot->options.server_count,
        .range_ids = snapshot->options.row_range_ids};
}

/* The same of what servers begin with. */
static inline bool mu_snapshot_restores(const struct mu_ps_snapshot *snapshot)
{
    return snapshot->state == MU_SNAPSHOT_RESTORING || snapshot->state == MU_SNAPSHOT_RESTORED;
}

/* ---- snapshot.c ---- */
void mu_snapshot_fail(struct mu_ps_snapshot *snapshot, int order, enum mu_status why);
/* Fails for what this server did. */
void mu_snapshot_blame(struct mu_snapshot_source *source, const char *what);
/* `state`: LINKING or RESTORING. */
enum mu_status mu_snapshot_begin(struct mu_ps_snapshot *snapshot, enum mu_snapshot_state state);
/* Asks for the snapshot if it is time to. */
void mu_snapshot_ask(struct mu_ps_snapshot *snapshot);
/* Is something of what is under way still to come from this server, or to go there? */
bool mu_snapshot_is_missing(const struct mu_snapshot_source *source);
/* Something has come from there. */
void mu_snapshot_count_down(struct mu_snapshot_source *source);
/* A snapshot that is under way cannot become whole. */
void mu_snapshot_give_up(struct mu_ps_snapshot *snapshot);
/* Nothing lands any more of what was given up? Then that is over. */
void mu_snapshot_leave(struct mu_ps_snapshot *snapshot);
enum mu_status mu_snapshot_finish(struct mu_ps_snapshot *snapshot, int64_t deadline_ns);

/* ---- snapshot_links.c ---- */
/* Of two that have the same, one sends it. */
bool mu_snapshot_gives(const struct mu_snapshot_source *source);
/* A server that is not there may be lost: then the cluster says so, or all goes on to its deadline.
 */
bool mu_snapshot_may_be_lost(const struct mu_ps_snapshot *snapshot);
enum mu_status mu_snapshot_check_alive(struct mu_ps_snapshot *snapshot);

/* ---- snapshot_receive.c: of the links ---- */
enum mu_link_answer mu_snapshot_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload);
void mu_snapshot_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body);
/* What waits for the sink goes nowhere: its snapshot is given up, or all has failed. */
void mu_snapshot_forget_waiting(struct mu_ps_snapshot *snapshot);

#endif
