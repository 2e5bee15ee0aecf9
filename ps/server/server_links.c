/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/look.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_order.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_relink.h"
#include "ps/server/server_rows.h"
#include "ps/server/server_share.h"
#include "ps/server/server_state.h"
#include <math.h>

/* The callbacks of the links of workers and of the leader. Each finishes an operation or appends to
 * the queue. */

/* ---- workers ---- */

/* A frame that breaks the protocol ends the link; one that is well formed but no gradient is only
 * refused, and is received, or thrown away, like any other. */
static enum mu_ps_flaw flaw_of(
    const struct mu_ps_peer *peer, const struct mu_frame *frame, const struct mu_ps_push_body *push)
{
    if (frame->payload_bytes != (push->gradient_at > 0 ? 0 : mu_ps_span_bytes(peer->server)))
        return MU_PS_FLAW_LENGTH;
    if (frame->tag != peer->of_worker.sequence_next)
        return MU_PS_FLAW_TURN;
    if (!isfinite((float)push->scale))
        return MU_PS_FLAW_NOT_FINITE;
    return mu_ps_rows_flaw(peer->at_hand.buffer, (float)push->scale);
}

/* False: the worker is refused. */
static bool read_push(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_buffer *buffer = peer->at_hand.buffer;
    struct mu_ps_push_body push;
    if (!mu_ps_push_read(mu_link_decoder(peer->link), body, frame->body_bytes, &push)) {
        mu_ps_refuse(peer, "sent a PUSH whose body is malformed");
        return false;
    }
    buffer->item = MU_PS_ITEM_GRADIENT;
    buffer->flaw = flaw_of(peer, frame, &push);
    bool is_placed = mu_ps_share_places(peer, buffer, push.gradient_at, push.fresh_at);
    if (!is_placed && buffer->flaw != MU_PS_FLAW_LENGTH)
        buffer->flaw = MU_PS_FLAW_PLACE;
    buffer->quiet = push.quiet;
    buffer->seen = push.seen;
    buffer->alike = mu_ps_push_alike(&push);
    buffer->asks_fresh = !push.acknowledge_only;
    buffer->wants_fresh = buffer->asks_fresh && is_placed;
    buffer->scale = buffer->flaw == MU_PS_FLAW_NONE ? (float)push.scale : 0;
    return true;
}

static bool read_pull(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_buffer *buffer = peer->at_hand.buffer;
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    int64_t fresh_at = 0;
    if (frame->payload_bytes != 0)
        mu_ps_refuse(peer, "sent a PULL with a payload");
    else if (!mu_ps_pull_read(
                 mu_link_decoder(peer->link), body, frame->body_bytes, &buffer->item, &fresh_at))
        mu_ps_refuse(peer, "sent a PULL whose body is malformed");
    else if (!mu_ps_share_places(peer, buffer, 0, fresh_at))
        mu_ps_refuse(peer, "sent a PULL %s", mu_ps_flaw_text(MU_PS_FLAW_PLACE));
    else if (frame->tag != peer->of_worker.sequence_next)
        mu_ps_refuse(peer, "sent pull %llu where %llu is next", (unsigned long long)frame->tag,
            (unsigned long long)peer->of_worker.sequence_next);
    else if (rows->flaw != MU_PS_FLAW_NONE)
        mu_ps_refuse(peer, "sent a PULL %s", mu_ps_flaw_text(rows->flaw));
    else if (rows->counts.given > 0)
        mu_ps_refuse(peer, "sent a PULL with gradients of embedding rows");
    buffer->wants_fresh = buffer->asks_fresh = mu_ps_item_has_span(buffer->item);
    buffer->alike = 0;
    buffer->flaw = MU_PS_FLAW_NONE;
    buffer->quiet = false;
    return !peer->refused;
}

static enum mu_link_answer on_worker_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    struct mu_ps_peer *peer = owner;
    struct mu_ps_server *server = peer->server;
    bool is_pull = frame->type == MU_FRAME_PULL, is_rows = frame->type == MU_FRAME_ROWS;
    enum mu_link_answer answer;
    if (server->options.relinks && mu_ps_relink_frame(peer, frame, body, &answer))
        return answer;
    if (frame->type != MU_FRAME_PUSH && frame->type != MU_FRAME_SHARE && !is_pull && !is_rows)
        return mu_ps_refuse_type(peer, frame);
    if (!mu_ps_is_of_now(peer, frame))
        return MU_LINK_REFUSE;
    if (frame->type == MU_FRAME_SHARE)
        return mu_ps_share_frame(peer, frame, body);
    struct mu_ps_buffer *buffer =
        mu_ps_buffer_of(server, peer->index, peer->of_worker.sequence_next);
    if (!server->begun || !mu_ps_knows_head(server) || buffer->state != MU_PS_BUFFER_FREE)
        return mu_ps_hold(peer);
    peer->at_hand.buffer = buffer;
    if (is_rows && !mu_ps_rows_frame(peer, buffer, frame, body, ret_payload))
        return MU_LINK_REFUSE;
    if (is_rows)
        return *ret_payload ? MU_LINK_TAKE : MU_LINK_SKIP;
    mu_ps_buffer_take(buffer);
    if (!(is_pull ? read_pull(peer, frame, body) : read_push(peer, frame, body)))
        return MU_LINK_REFUSE;
    buffer->state = MU_PS_BUFFER_RECEIVING;
    buffer->sequence = peer->of_worker.sequence_next;
    buffer->tag = frame->tag;
    *ret_payload = buffer->own;
    peer->at_hand.looked_at = 0;
    bool fits = frame->payload_bytes <= mu_ps_span_bytes(server);
    return fits && buffer->flaw != MU_PS_FLAW_LENGTH ? MU_LINK_TAKE : MU_LINK_SKIP;
}

/* All elements are looked at before anything is applied anywhere. */
static void on_worker_landed(void *owner, const struct mu_frame *frame, size_t bytes)
{
    struct mu_ps_peer *peer = owner;
    struct mu_ps_buffer *buffer = peer->at_hand.buffer;
    if (frame->type != MU_FRAME_PUSH)
        return;
    size_t first = peer->at_hand.looked_at;
    peer->at_hand.looked_at = bytes / sizeof(float);
    if (buffer->flaw == MU_PS_FLAW_NONE)
        buffer->flaw =
            mu_look_at(buffer->own + first, peer->at_hand.looked_at - first, buffer->scale);
}

static void on_worker_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_ps_peer *peer = owner;
    struct mu_ps_server *server = peer->server;
    struct mu_ps_buffer *buffer = peer->at_hand.buffer;
    if (frame->type == MU_FRAME_SHARE)
        return;
    server->load.bytes_in += MU_FRAME_HEADER_BYTES + frame->body_bytes + frame->payload_bytes;
    if (frame->type == MU_FRAME_READY || peer->at_hand.is_again) {
        mu_ps_relink_arrived(peer, frame);
        return;
    }
    if (frame->type == MU_FRAME_ROWS) {
        mu_ps_rows_arrived(peer, buffer);
        return;
    }
    assert(buffer->state == MU_PS_BUFFER_RECEIVING);
    mu_ps_share_look(server, buffer);
    server->load.requests++;
    buffer->state = MU_PS_BUFFER_WAITING;
    peer->of_worker.sequence_next++;
    server->waiting_count++;
    mu_ps_here(server, buffer);
}

static const struct mu_link_events worker_events = {
    .frame = on_worker_frame,
    .landed = on_worker_landed,
    .arrived = on_worker_arrived,
    .ended = mu_ps_peer_ended,
};

void mu_ps_server_add_worker(struct mu_ps_server *server, int replica, struct mu_link *link)
{
    assert(replica >= 0 && replica < server->options.replica_count);
    struct mu_ps_peer *peer = &server->workers[replica];
    if (server->options.relinks)
        mu_ps_relink_end(peer);
    peer->link_number++;
    mu_link_hold_at_most(link, mu_ps_held_bytes(server->options.replicas));
    mu_ps_add_peer(peer, link, &worker_events);
}

void mu_ps_server_lose_worker(struct mu_ps_server *server, int replica)
{
    assert(replica >= 0 && replica < server->options.replica_count);
    mu_ps_relink_end(&server->workers[replica]);
    server->ledger[replica].is_dead = true;
    if (mu_ps_is_head(server))
        mu_ps_lost(server, replica);
}

/* ---- the leader ---- */

static const struct mu_link_events leader_events = {
    .frame = mu_ps_leader_frame,
    .arrived = mu_ps_leader_arrived,
    .ended = mu_ps_peer_ended,
};

void mu_ps_server_add_leader(struct mu_ps_server *server, struct mu_link *link)
{
    if (server->leader.link && server->options.relinks && server->begun)
        mu_ps_state_unlink(server);
    mu_ps_add_peer(&server->leader, link, &leader_events);
}
