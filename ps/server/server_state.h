/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_STATE_H
#define MU_PS_SERVER_STATE_H

#include "ps/ps_bodies.h"
#include "ps/shard.h"
#include "runtime/io/link.h"

/* The state of a server as a whole, over the link of the leader. */
struct mu_ps_server;

/* A snapshot that is being sent. */
struct mu_ps_state_stream {
    struct mu_arena copies[MU_SHARD_VECTORS_MAX];
    struct mu_send sends[MU_SHARD_VECTORS_MAX];
    uint8_t first_body[MU_PS_STATE_BODY_MAX];
    uint8_t bodies[MU_SHARD_VECTORS_MAX][MU_PS_BODY_MAX];
    int sends_pending;
};

struct mu_ps_state {
    /* At most one: follower: in the queue; head: as soon as nothing is gathered. */
    bool snapshot_queued;
    uint64_t snapshot_id;                   /* head */
    uint64_t snapshot_heard;                /* follower: the last one */
    bool snapshot_gives, snapshot_is_again; /* follower, of the frame at hand */
    bool snapshot_is_old; /* of the frame at hand: the leader has not heard of a loss */
    struct mu_ps_state_stream stream;
    /* RESTORE. */
    int64_t updates_total;
    uint32_t restored;   /* vectors that have come, bit by bit */
    int restoring_count; /* vectors that will come */
};

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
