/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SNAPSHOT_INSIDE_H
#define MU_PS_SNAPSHOT_INSIDE_H

#include "ps/ps_bodies.h"
#include "ps/row_piece.h"
#include "ps/shard.h"
#include "ps/snapshot.h"

/* What the files of the leader's side share: snapshot.c takes snapshots, snapshot_restore.c gives
 * the servers what they begin with. */

/* One server. */
struct mu_snapshot_source {
    struct mu_ps_snapshot *snapshot;
    int order;
    struct mu_span span;
    struct mu_link *link;
    bool ended, refused;
    int64_t lost_since_ns; /* its link has ended, and another one may come */
    bool is_lost;          /* its process is gone */
    bool is_old;           /* the frame at hand is of a snapshot that was given up */
    uint32_t here;         /* vectors that have come, bit by bit */
    int vector;            /* of the frame at hand */
    bool lands;            /* it is coming to its place */
    bool ready;            /* restored */
    struct mu_send sends[MU_SHARD_VECTORS_MAX];
    int sends_pending;
    struct mu_row_piece piece; /* of the embedding table, coming or going */
    struct mu_send piece_send;
    bool rows_ended; /* all have come */
};

struct mu_ps_snapshot {
    struct mu_ps_snapshot_options options;
    int vector_count;
    struct mu_snapshot_source sources[MU_PS_SEATS_MAX];
    int seat_count;
    int lost; /* the process of a server; -1: none */
    enum mu_snapshot_doing { MU_SNAPSHOT_IDLE, MU_SNAPSHOT_TAKING, MU_SNAPSHOT_RESTORING } doing;
    int missing; /* servers of which something is still to come */
    bool ended;  /* whole, or it has failed */
    bool is_given_up;
    bool has_begun;        /* the servers have their first state */
    bool asked;            /* the head: not before all are linked */
    uint64_t id, given_up; /* given_up: up to this one */
    float *vectors[MU_SHARD_VECTORS_MAX];
    struct mu_row_sink sink;
    uint64_t rows_come;
    int64_t version;
    int64_t total; /* RESTORE: of updates that the run plans */
    int64_t judged[MU_PS_REPLICAS_MAX], judged_seen[MU_PS_REPLICAS_MAX];
    uint8_t first_body[MU_PS_STATE_BODY_MAX]; /* of RESTORE to the head, the counts included */
    uint8_t bodies[MU_SHARD_VECTORS_MAX][MU_PS_BODY_MAX];
    enum mu_status failure; /* the first; it stays */
    int culprit;
};

/* ---- snapshot.c ---- */
enum mu_status mu_snapshot_check_alive(struct mu_ps_snapshot *snapshot);
void mu_snapshot_count_down(struct mu_snapshot_source *source);
enum mu_status mu_snapshot_begin(struct mu_ps_snapshot *snapshot, enum mu_snapshot_doing doing);
enum mu_status mu_snapshot_finish(struct mu_ps_snapshot *snapshot, int64_t deadline_ns);

#endif
