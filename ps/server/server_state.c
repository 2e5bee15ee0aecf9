/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_state.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_pieces.h"
#include <string.h>

/* The state of a server as a whole: snapshots to the leader, and what the leader restores. */

#define PIECE_BYTES ((size_t)4 << 20) /* copied between two turns of the loop */

/* ---- restoring ---- */

static bool judged_is_sound(const struct mu_ps_state_body *state)
{
    for (int i = 0; i < state->replica_count; i++)
        if (state->judged[i] < 0)
            return false;
    return true;
}

static enum mu_link_answer on_restore(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_state_body state;
    if (server->begun)
        return mu_ps_refuse(peer, "sent a RESTORE after the start");
    if (!mu_ps_state_read(mu_link_decoder(peer->link), body, frame->body_bytes, server->judged,
            server->options.replica_count, &state) ||
        !judged_is_sound(&state) || state.version > INT64_MAX / 2)
        return mu_ps_refuse(peer, "sent a RESTORE whose body is malformed");
    if (state.vector_count != 1 && state.vector_count != server->shard.vector_count)
        return mu_ps_refuse(peer, "restores %d vectors; the optimizer has %d", state.vector_count,
            server->shard.vector_count);
    if (frame->payload_bytes != mu_ps_span_bytes(server))
        return mu_ps_refuse(peer, "restores %u bytes; the span of ps/%d has %zu",
            frame->payload_bytes, mu_ps_process(server), mu_ps_span_bytes(server));
    *ret_payload = server->shard.vectors[state.vector].data;
    server->state.updates_total = (int64_t)(frame->tag & INT64_MAX);
    server->state.restored |= 1u << state.vector;
    server->shard.version = state.version;
    server->state.restoring_count = state.vector_count;
    return MU_LINK_TAKE;
}

static void restored_one(struct mu_ps_server *server)
{
    if (server->state.restored != (1u << server->state.restoring_count) - 1)
        return;
    mu_ps_server_begin(server, server->shard.version);
    mu_link_post(server->leader.link, MU_FRAME_READY, server->options.generation,
        (uint64_t)server->shard.version, NULL);
}

/* ---- snapshots ---- */

bool mu_ps_state_free(const struct mu_ps_server *server)
{
    return server->leader.link && server->state.stream.sends_pending == 0 &&
           mu_ps_pieces_idle(server);
}

/* The leader sees the same end, and begins what it has not got anew (snapshot_links.c). A snapshot
 * that has its place in the order by then waits for the next link, with all that comes after it. */
void mu_ps_state_unlink(struct mu_ps_server *server)
{
    struct mu_link *link = server->leader.link;
    server->leader.link = NULL;
    server->leader.held = false;
    mu_ps_pieces_drop(server);
    mu_link_close(link);
    server->look_again = true;
}

static void copy_vector(struct mu_ps_server *server, int vector)
{
    const uint8_t *from = (const uint8_t *)server->shard.vectors[vector].data;
    uint8_t *to = (uint8_t *)server->state.stream.copies[vector].data;
    size_t bytes = mu_ps_span_bytes(server);
    for (size_t done = 0; done < bytes; done += PIECE_BYTES) {
        memcpy(to + done, from + done, bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES);
        if (bytes - done > PIECE_BYTES)
            mu_loop_poll(server->options.loop);
    }
}

static void state_finished(struct mu_send *send)
{
    struct mu_ps_server *server = send->owner;
    server->state.stream.sends_pending--;
    server->look_again = true;
}

static void send_vector(struct mu_ps_server *server, int vector, uint64_t snapshot_id)
{
    struct mu_ps_state_stream *stream = &server->state.stream;
    struct mu_ps_state_body state = {
        .vector = vector,
        .vector_count = server->shard.vector_count,
        .version = server->shard.version,
    };
    uint8_t *body = stream->bodies[vector];
    size_t capacity = MU_PS_BODY_MAX;
    if (vector == 0 && mu_ps_is_head(server)) {
        body = stream->first_body;
        capacity = MU_PS_STATE_BODY_MAX;
        state.judged = server->judged;
        state.replica_count = server->options.replica_count;
    }
    struct mu_frame frame = {
        .type = MU_FRAME_STATE,
        .generation = server->options.generation,
        .tag = snapshot_id,
        .body_bytes = (uint32_t)mu_ps_state_write(body, capacity, &state),
        .payload_bytes = (uint32_t)mu_ps_span_bytes(server),
    };
    struct mu_send *send = &stream->sends[vector];
    send->owner = server;
    send->finished = state_finished;
    stream->sends_pending++;
    mu_link_send(server->leader.link, send, &frame, body, stream->copies[vector].data);
}

enum mu_status mu_ps_state_take(struct mu_ps_server *server, uint64_t snapshot_id)
{
    assert(mu_ps_state_free(server));
    MU_TRY(mu_ps_pieces_begin(server, snapshot_id));
    for (int i = 0; i < server->shard.vector_count; i++)
        copy_vector(server, i);
    for (int i = 0; server->leader.link && i < server->shard.vector_count; i++)
        send_vector(server, i, snapshot_id);
    return MU_OK;
}

/* ---- the leader's link ---- */

static enum mu_link_answer on_snapshot(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_snapshot_body snapshot;
    bool may_judge = mu_ps_seat_may_judge(server->options.order, server->options.server_count);
    if (!may_judge || frame->payload_bytes != 0 ||
        !mu_ps_snapshot_read(mu_link_decoder(peer->link), body, frame->body_bytes, &snapshot))
        return mu_ps_refuse(peer, "sent a SNAPSHOT that is not for ps/%d", mu_ps_process(server));
    if (!mu_ps_is_head(server) || snapshot.lost > server->standby.lost)
        return mu_ps_hold(peer); /* the leader heard of a loss before this one did */
    server->state.snapshot_is_old = snapshot.lost != server->standby.lost;
    if (server->state.snapshot_is_old)
        return MU_LINK_TAKE; /* it begins anew when it hears of it */
    if (!server->begun || server->state.snapshot_queued || !mu_ps_state_free(server) ||
        !mu_ps_knows_followers(server))
        return mu_ps_hold(peer);
    return MU_LINK_TAKE;
}

enum mu_link_answer mu_ps_leader_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    struct mu_ps_peer *peer = owner;
    if (!mu_ps_is_of_now(peer, frame))
        return MU_LINK_REFUSE;
    switch (frame->type) {
    case MU_FRAME_RESTORE:
        return on_restore(peer, frame, body, ret_payload);
    case MU_FRAME_ROWS:
        return mu_ps_pieces_frame(peer, frame, ret_payload);
    case MU_FRAME_SNAPSHOT:
        return on_snapshot(peer, frame, body);
    default:
        return mu_ps_refuse_type(peer, frame);
    }
}

void mu_ps_leader_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_ps_peer *peer = owner;
    struct mu_ps_server *server = peer->server;
    if (frame->type == MU_FRAME_RESTORE) {
        restored_one(server);
        return;
    }
    if (frame->type == MU_FRAME_ROWS) {
        mu_ps_pieces_arrived(peer);
        return;
    }
    if (server->state.snapshot_is_old)
        return;
    server->state.snapshot_queued = true;
    server->state.snapshot_id = frame->tag;
}
