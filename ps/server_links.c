/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/look.h"
#include "ps/server_inside.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The callbacks of a server's links. Each finishes an operation or appends to the queue. */

/* ---- what all links share ---- */

void mu_ps_peer_name(const struct mu_ps_peer *peer, char *out, size_t bytes)
{
    const char *const *names = peer->server->options.replica_names;
    if (peer->kind == MU_PS_PEER_LEADER)
        snprintf(out, bytes, "the leader");
    else if (peer->kind == MU_PS_PEER_SERVER)
        snprintf(out, bytes, "ps/%d",
            mu_ps_seat_process(peer->index, peer->server->options.server_count));
    else if (names)
        snprintf(out, bytes, "%s", names[peer->index]);
    else
        snprintf(out, bytes, "replica %d", peer->index);
}

__attribute__((format(printf, 2, 0))) static void blame(
    struct mu_ps_peer *peer, const char *format, va_list list)
{
    char did[MU_PS_DID_MAX];
    mu_ps_peer_name(peer, did, MU_TASK_NAME_MAX + 8);
    size_t length = strlen(did);
    did[length++] = ' ';
    vsnprintf(did + length, sizeof(did) - length, format, list);
    peer->refused = true;
    mu_ps_accuse(peer, MU_E0404, did);
}

void mu_ps_blame(struct mu_ps_peer *peer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    blame(peer, format, list);
    va_end(list);
}

enum mu_link_answer mu_ps_refuse(struct mu_ps_peer *peer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    blame(peer, format, list);
    va_end(list);
    return MU_LINK_REFUSE;
}

enum mu_link_answer mu_ps_hold(struct mu_ps_peer *peer)
{
    peer->held = true;
    return MU_LINK_HOLD;
}

enum mu_link_answer mu_ps_refuse_type(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    return mu_ps_refuse(
        peer, "sent a %s, which has no place on this link", mu_frame_type_name(frame->type));
}

bool mu_ps_is_of_now(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    if (frame->generation == peer->server->options.generation)
        return true;
    mu_ps_refuse(peer, "sent a frame of generation %u; this is %u", frame->generation,
        peer->server->options.generation);
    return false;
}

static void resume(struct mu_ps_peer *peer)
{
    if (!peer->held)
        return;
    peer->held = false;
    mu_link_resume(peer->link);
}

void mu_ps_resume_held(struct mu_ps_server *server)
{
    server->look_again = false;
    resume(&server->leader);
    for (int i = 0; i < server->standby.seat_count; i++)
        resume(&server->others[i]);
    for (int i = 0; i < server->options.replica_count; i++) {
        resume(&server->workers[i]);
        if (server->workers[i].ended)
            mu_ps_share_drop(&server->workers[i]);
    }
}

void mu_ps_cut(struct mu_ps_peer *peer)
{
    mu_link_close(peer->link);
    peer->link = NULL;
    peer->ended = true;
    peer->held = false;
    peer->server->load.cut_off++;
}

void mu_ps_lost(struct mu_ps_server *server, int worker)
{
    if (server->ledger[worker].left || server->ledger[worker].is_lost)
        return;
    server->ledger[worker].is_lost = true;
    mu_ps_queue(server, (struct mu_ps_event){.lost = worker});
}

void mu_ps_peer_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct mu_ps_peer *peer = owner;
    bool comes_back =
        peer->kind == MU_PS_PEER_WORKER && peer->server->options.relinks && why != MU_PROTOCOL;
    if (comes_back) {
        mu_ps_relink_end(peer);
        return;
    }
    if (peer->kind == MU_PS_PEER_LEADER && peer->server->options.relinks && peer->server->begun &&
        why != MU_PROTOCOL) {
        mu_ps_state_unlink(peer->server);
        return;
    }
    peer->server->look_again = true; /* for what it leaves */
    if (peer->kind == MU_PS_PEER_SERVER && mu_ps_heal_ended(peer, why))
        return;
    peer->ended = true;
    peer->held = false;
    if (peer->kind == MU_PS_PEER_SERVER)
        peer->server->other_ended = peer->index;
    if (peer->kind == MU_PS_PEER_WORKER && mu_ps_is_head(peer->server))
        mu_ps_lost(peer->server, peer->index);
    if (why == MU_PROTOCOL && !peer->refused)
        mu_ps_refuse(peer, "sent what is not a frame");
}

void mu_ps_add_peer(
    struct mu_ps_peer *peer, struct mu_link *link, const struct mu_link_events *events)
{
    assert(!peer->link);
    peer->link = link;
    peer->ended = peer->refused = false;
    mu_link_adopt(link, events, peer);
    if (!mu_link_alive(link))
        mu_ps_peer_ended(peer, link, MU_CLOSED, 0);
    /* Its first frame may have come already, and others may have waited for this link. */
    peer->held = peer->link && mu_link_alive(peer->link);
    peer->server->look_again = true;
}

/* ---- workers ---- */

/* A frame that breaks the protocol ends the link; one that is well formed but no gradient is only
 * refused, and is received, or thrown away, like any other. */
static enum mu_ps_flaw flaw_of(
    const struct mu_ps_peer *peer, const struct mu_frame *frame, const struct mu_ps_push_body *push)
{
    if (frame->payload_bytes != (push->gradient_at > 0 ? 0 : mu_ps_span_bytes(peer->server)))
        return MU_PS_FLAW_LENGTH;
    if (frame->tag != peer->sequence_next)
        return MU_PS_FLAW_TURN;
    if (!isfinite((float)push->scale))
        return MU_PS_FLAW_NOT_FINITE;
    return mu_ps_rows_flaw(peer->buffer, (float)push->scale);
}

/* False: the worker is refused. */
static bool read_push(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_buffer *buffer = peer->buffer;
    struct mu_ps_push_body push;
    if (!mu_ps_push_read(mu_link_decoder(peer->link), body, frame->body_bytes, &push)) {
        mu_ps_refuse(peer, "sent a PUSH whose body is malformed");
        return false;
    }
    buffer->item = MU_PS_ITEM_GRADIENT;
    buffer->flaw = flaw_of(peer, frame, &push);
    bool is_placed = mu_ps_share_places(peer, buffer, push.gradient_at, push.fresh_at);
    if (!is_placed)
        buffer->flaw = MU_PS_FLAW_PLACE;
    buffer->seen = push.seen;
    buffer->wants_fresh = !push.acknowledge_only && is_placed;
    buffer->scale = buffer->flaw == MU_PS_FLAW_NONE ? (float)push.scale : 0;
    return true;
}

static bool read_pull(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_buffer *buffer = peer->buffer;
    const struct mu_ps_row_buffer *rows = &buffer->rows;
    int64_t fresh_at = 0;
    if (frame->payload_bytes != 0)
        mu_ps_refuse(peer, "sent a PULL with a payload");
    else if (!mu_ps_pull_read(
                 mu_link_decoder(peer->link), body, frame->body_bytes, &buffer->item, &fresh_at))
        mu_ps_refuse(peer, "sent a PULL whose body is malformed");
    else if (!mu_ps_share_places(peer, buffer, 0, fresh_at))
        mu_ps_refuse(peer, "sent a PULL %s", mu_ps_flaw_text(MU_PS_FLAW_PLACE));
    else if (frame->tag != peer->sequence_next)
        mu_ps_refuse(peer, "sent pull %llu where %llu is next", (unsigned long long)frame->tag,
            (unsigned long long)peer->sequence_next);
    else if (rows->flaw != MU_PS_FLAW_NONE)
        mu_ps_refuse(peer, "sent a PULL %s", mu_ps_flaw_text(rows->flaw));
    else if (rows->counts.given > 0)
        mu_ps_refuse(peer, "sent a PULL with gradients of embedding rows");
    buffer->wants_fresh = mu_ps_item_has_span(buffer->item);
    buffer->flaw = MU_PS_FLAW_NONE;
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
    struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, peer->index, peer->sequence_next);
    if (!server->begun || !mu_ps_knows_head(server) || buffer->state != MU_PS_BUFFER_FREE)
        return mu_ps_hold(peer);
    peer->buffer = buffer;
    if (is_rows && !mu_ps_rows_frame(peer, buffer, frame, body, ret_payload))
        return MU_LINK_REFUSE;
    if (is_rows)
        return *ret_payload ? MU_LINK_TAKE : MU_LINK_SKIP;
    if (!(is_pull ? read_pull(peer, frame, body) : read_push(peer, frame, body)))
        return MU_LINK_REFUSE;
    buffer->state = MU_PS_BUFFER_RECEIVING;
    buffer->sequence = peer->sequence_next;
    buffer->tag = frame->tag;
    *ret_payload = buffer->own;
    peer->looked_at = 0;
    return buffer->flaw == MU_PS_FLAW_LENGTH ? MU_LINK_SKIP : MU_LINK_TAKE;
}

/* All elements are looked at before anything is applied anywhere. */
static void on_worker_landed(void *owner, const struct mu_frame *frame, size_t bytes)
{
    struct mu_ps_peer *peer = owner;
    struct mu_ps_buffer *buffer = peer->buffer;
    if (frame->type != MU_FRAME_PUSH)
        return;
    size_t first = peer->looked_at;
    peer->looked_at = bytes / sizeof(float);
    if (buffer->flaw == MU_PS_FLAW_NONE)
        buffer->flaw = mu_look_at(buffer->own + first, peer->looked_at - first, buffer->scale);
}

static void on_worker_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_ps_peer *peer = owner;
    struct mu_ps_server *server = peer->server;
    struct mu_ps_buffer *buffer = peer->buffer;
    if (frame->type == MU_FRAME_SHARE)
        return;
    server->load.bytes_in += MU_FRAME_HEADER_BYTES + frame->body_bytes + frame->payload_bytes;
    if (frame->type == MU_FRAME_READY || peer->is_again) {
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
    peer->sequence_next++;
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
    if (server->options.replicas == 0) /* with standbys workers write to more at once */
        mu_link_hold_little(link);
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
