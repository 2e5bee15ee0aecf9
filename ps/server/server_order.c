/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_order.h"
#include "ps/server/server_auto.h"
#include "ps/server/server_buffer.h"
#include "ps/server/server_heal.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_queue.h"
#include "ps/server/server_takeover.h"

/*
 * The links between servers: notes of what is whole, and of who is cut off, to the head; verdicts,
 * from it.
 *
 * A worker's numbers come whole in their order on each server, so the head knows from one number of
 * each follower what is there, and can count anew when one of them is lost.
 */

static void queue_buffer(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    assert(buffer->state == MU_PS_BUFFER_WAITING);
    buffer->state = MU_PS_BUFFER_QUEUED;
    mu_ps_queue_add(
        &server->queue, &(struct mu_ps_event){.kind = MU_PS_EVENT_BUFFER, .buffer = buffer});
}

static void queue_if_here(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    assert(buffer->here_count <= server->standby.live_count);
    if (!mu_ps_is_head(server) || buffer->here_count < server->standby.live_count)
        return;
    if (server->ledger[buffer->worker].is_lost || buffer->here_item == MU_PS_ITEM_LOSS)
        return; /* what comes after its loss is dropped there, on all servers */
    queue_buffer(server, buffer);
}

/* No order could have both. */
static void blame_worker(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    buffer->here_item = MU_PS_ITEM_LOSS;
    if (server->ledger[buffer->worker].is_lost)
        return;
    mu_ps_blame(&server->workers[buffer->worker], MU_E0404,
        "sent one thing to a server and another to another one, both as number %llu",
        (unsigned long long)buffer->sequence);
    mu_ps_lost(server, buffer->worker);
}

/* The gradient (or pull) is whole on one more server, which has this to say of it. All say the same
 * but for what they find wrong, so that it does not matter by whose copy it is judged. */
static void is_here(
    struct mu_ps_server *server, struct mu_ps_buffer *buffer, const struct mu_ps_note_body *note)
{
    bool is_first = buffer->here_count++ == 0;
    if (is_first) {
        buffer->here_item = note->item;
        buffer->here_alike = note->alike;
    }
    if (buffer->here_alike != note->alike)
        buffer->here_flaw = MU_PS_FLAW_DIFFERS;
    else if (buffer->here_flaw == MU_PS_FLAW_NONE)
        buffer->here_flaw = note->flaw;
    if (buffer->here_item != note->item)
        blame_worker(server, buffer);
    queue_if_here(server, buffer);
}

static struct mu_ps_note_body note_of(
    const struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    return (struct mu_ps_note_body){.worker = buffer->worker,
        .item = buffer->item,
        .flaw = buffer->flaw,
        .incarnation = server->ledger[buffer->worker].incarnation,
        .alike = buffer->alike};
}

static void tell_head(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_note_body note = note_of(server, buffer);
    struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = server->options.generation,
        .tag = buffer->sequence,
        .body_bytes = (uint32_t)mu_ps_note_write(buffer->told_body, &note),
    };
    struct mu_ps_peer *head = &server->others[server->standby.head];
    if (head->link) /* else all is told when it is there again (server_heal.c) */
        mu_ps_buffer_send(buffer, head, &buffer->told[0], &frame, buffer->told_body, NULL);
}

/* Between two heads it is told to the next one later (mu_ps_tell_here). */
void mu_ps_here(struct mu_ps_server *server, struct mu_ps_buffer *buffer)
{
    const struct mu_ps_note_body note = note_of(server, buffer);
    if (mu_ps_is_head(server))
        is_here(server, buffer, &note);
    else if (server->standby.takeover == MU_PS_TAKEOVER_NONE)
        tell_head(server, buffer);
}

static void tell_loss(struct mu_ps_server *server, struct mu_ps_peer *head, int worker)
{
    const struct mu_ps_note_body note = {.worker = worker,
        .item = MU_PS_ITEM_LOSS,
        .incarnation = server->ledger[worker].incarnation};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_note_put(&body, memory, &note);
    mu_link_post(head->link, MU_FRAME_PUSH, server->options.generation, 0, &body);
    server->ledger[worker].cut_told = true;
}

static bool is_to_tell(const struct mu_ps_worker *worker)
{
    return worker->is_cut && !worker->cut_told && !worker->left && !worker->is_lost;
}

void mu_ps_tell_losses(struct mu_ps_server *server)
{
    struct mu_ps_peer *head = &server->others[server->standby.head];
    if (!server->losses_due || !head->link || server->standby.takeover != MU_PS_TAKEOVER_NONE)
        return;
    server->losses_due = false;
    for (int w = 0; w < server->options.replica_count && !server->losses_due; w++) {
        if (!is_to_tell(&server->ledger[w]))
            continue;
        server->losses_due = !mu_ps_standby_has_room(head);
        if (!server->losses_due)
            tell_loss(server, head, w);
    }
}

void mu_ps_tell_here(struct mu_ps_server *server)
{
    server->losses_due = true;
    for (int w = 0; w < server->options.replica_count; w++) {
        server->ledger[w].cut_told = false;
        for (uint64_t k = server->sequence_served[w];
             k < server->workers[w].of_worker.sequence_next; k++) {
            struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, w, k);
            if (buffer->state == MU_PS_BUFFER_WAITING && buffer->sequence == k)
                mu_ps_here(server, buffer);
        }
    }
}

static int followers_that_have(const struct mu_ps_server *server, int worker, uint64_t sequence)
{
    int count = 0;
    for (int i = 0; i < server->standby.seat_count; i++)
        count += mu_ps_is_other(server, i) && server->others[i].of_server.noted[worker] > sequence;
    return count;
}

void mu_ps_count_here(struct mu_ps_server *server)
{
    uint64_t in_flight = (uint64_t)server->options.in_flight_max;
    for (int w = 0; w < server->options.replica_count; w++) {
        uint64_t served = server->sequence_served[w],
                 next = server->workers[w].of_worker.sequence_next;
        for (uint64_t k = served; k < served + in_flight; k++) {
            struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, w, k);
            bool waits = buffer->state == MU_PS_BUFFER_WAITING;
            if (buffer->state == MU_PS_BUFFER_QUEUED)
                continue;
            buffer->here_count = followers_that_have(server, w, k) + (waits && k < next);
            queue_if_here(server, buffer);
        }
    }
}

/* ---- on the head: followers ---- */

void mu_ps_tell_snapshot(struct mu_ps_server *server, int seat, uint64_t snapshot_id)
{
    int twin = mu_ps_seat_twin(seat, server->options.server_count);
    bool is_standby = seat >= server->options.server_count;
    const struct mu_ps_snapshot_body snapshot = {
        .gives = !is_standby || server->others[twin].of_server.is_lost,
        .lost = server->standby.lost};
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    mu_ps_snapshot_put(&body, memory, &snapshot);
    mu_link_post(server->others[seat].link, MU_FRAME_SNAPSHOT, server->options.generation,
        snapshot_id, server->options.replicas > 0 ? &body : NULL);
}

/* May a follower's notes be counted? */
static bool hears_notes(const struct mu_ps_server *server)
{
    return server->options.order == server->standby.head &&
           (server->standby.takeover == MU_PS_TAKEOVER_NONE ||
               server->standby.takeover == MU_PS_TAKEOVER_TELLING);
}

static enum mu_link_answer on_note(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_note_body note;
    if (!mu_ps_note_read(mu_link_decoder(peer->link), body, frame->body_bytes, &note) ||
        note.worker >= server->options.replica_count)
        return mu_ps_refuse(peer, "sent a note whose body is malformed");
    int worker = note.worker;
    peer->at_hand.buffer = NULL;
    peer->at_hand.change_worker = -1;
    if (note.incarnation < server->ledger[worker].incarnation)
        return MU_LINK_TAKE; /* of one that is gone */
    if (note.item == MU_PS_ITEM_LOSS) {
        peer->at_hand.change_worker = worker;
        return MU_LINK_TAKE;
    }
    if (server->options.relinks && frame->tag < peer->of_server.noted[worker])
        return MU_LINK_TAKE; /* it was told on another link already */
    uint64_t end = server->sequence_served[worker] + (uint64_t)server->options.in_flight_max;
    if (frame->tag != peer->of_server.noted[worker] || frame->tag >= end)
        return mu_ps_refuse(peer, "sent note %llu of worker %d where %llu is next",
            (unsigned long long)frame->tag, worker,
            (unsigned long long)peer->of_server.noted[worker]);
    peer->at_hand.buffer = mu_ps_buffer_of(server, worker, frame->tag);
    peer->at_hand.note = note;
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_follower_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    (void)ret_payload;
    struct mu_ps_peer *peer = owner;
    bool is_note = frame->type == MU_FRAME_PUSH;
    bool takes_over = (frame->type == MU_FRAME_PLACE && peer->server->options.relinks) ||
                      (frame->type == MU_FRAME_VERDICT && peer->server->options.replicas > 0);
    if ((!is_note && !takes_over) || frame->payload_bytes != 0)
        return mu_ps_refuse_type(peer, frame);
    if (!mu_ps_is_of_now(peer, frame))
        return MU_LINK_REFUSE;
    if (takes_over)
        return mu_ps_takeover_frame(peer, frame, body);
    return hears_notes(peer->server) ? on_note(peer, frame, body) : mu_ps_hold(peer);
}

static void on_follower_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_ps_peer *peer = owner;
    if (frame->type != MU_FRAME_PUSH) {
        mu_ps_takeover_arrived(peer, frame);
        return;
    }
    if (peer->at_hand.change_worker >= 0)
        mu_ps_lost(peer->server, peer->at_hand.change_worker);
    if (!peer->at_hand.buffer)
        return;
    peer->of_server.noted[peer->at_hand.buffer->worker]++;
    is_here(peer->server, peer->at_hand.buffer, &peer->at_hand.note);
}

static const struct mu_link_events follower_events = {
    .frame = on_follower_frame,
    .arrived = on_follower_arrived,
    .ended = mu_ps_peer_ended,
};

void mu_ps_server_add_follower(struct mu_ps_server *server, int order, struct mu_link *link)
{
    assert(mu_ps_seat_may_judge(server->options.order, server->options.server_count));
    assert(order > 0 && order < server->standby.seat_count && order != server->options.order);
    if (mu_ps_heal_begin(&server->others[order]))
        mu_ps_add_peer(&server->others[order], link, &follower_events);
    else
        mu_link_close(link);
}

/* ---- on a follower: the head ---- */

enum mu_link_answer mu_ps_on_verdict(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_verdict_body verdict;
    if (!mu_ps_verdict_read(mu_link_decoder(peer->link), body, frame->body_bytes, &verdict) ||
        verdict.worker >= server->options.replica_count)
        return mu_ps_refuse(peer, "sent a VERDICT whose body is malformed");
    if (verdict.item == MU_PS_ITEM_CHOICE) {
        peer->at_hand.buffer = NULL;
        peer->at_hand.change_worker = -1;
        return mu_ps_auto_told(server, &verdict) ? MU_LINK_TAKE : mu_ps_hold(peer);
    }
    if (verdict.item == MU_PS_ITEM_LOSS || verdict.item == MU_PS_ITEM_JOIN) {
        struct mu_ps_worker *worker = &server->ledger[verdict.worker];
        if (worker->changes)
            return mu_ps_hold(peer);
        worker->changes = true;
        worker->change = verdict;
        peer->at_hand.buffer = NULL;
        peer->at_hand.change_worker = verdict.worker;
        return MU_LINK_TAKE;
    }
    struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, verdict.worker, frame->tag);
    if (buffer->state != MU_PS_BUFFER_WAITING || buffer->sequence != frame->tag ||
        buffer->item != verdict.item)
        return mu_ps_refuse(peer, "sent a verdict on push %llu of worker %d, which is not here",
            (unsigned long long)frame->tag, verdict.worker);
    buffer->verdict = verdict;
    peer->at_hand.buffer = buffer;
    return MU_LINK_TAKE;
}

/* What the head says of a worker, or that it has chosen (-1). */
static void queue_change(struct mu_ps_server *server, int worker)
{
    struct mu_ps_event event = {.kind = MU_PS_EVENT_CHOICE, .worker = worker};
    if (worker >= 0)
        event.kind = server->ledger[worker].change.item == MU_PS_ITEM_JOIN ? MU_PS_EVENT_JOIN
                                                                           : MU_PS_EVENT_LOSS;
    mu_ps_queue_add(&server->queue, &event);
}

void mu_ps_verdict_arrived(struct mu_ps_peer *peer)
{
    struct mu_ps_server *server = peer->server;
    server->standby.heard++;
    if (!peer->at_hand.buffer) {
        queue_change(server, peer->at_hand.change_worker);
        return;
    }
    server->waiting_count--;
    queue_buffer(server, peer->at_hand.buffer);
}

static enum mu_link_answer on_snapshot(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_snapshot_body snapshot;
    if (!mu_ps_snapshot_read(mu_link_decoder(peer->link), body, frame->body_bytes, &snapshot))
        return mu_ps_refuse(peer, "sent a SNAPSHOT whose body is malformed");
    server->state.snapshot_is_again =
        server->options.relinks && frame->tag <= server->state.snapshot_heard;
    if (server->state.snapshot_is_again)
        return MU_LINK_TAKE;
    if (server->state.snapshot_queued)
        return mu_ps_hold(peer);
    server->state.snapshot_gives = snapshot.gives;
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_head_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)link;
    (void)ret_payload;
    struct mu_ps_peer *peer = owner;
    bool takes_over = frame->type == MU_FRAME_PLACE && peer->server->options.replicas > 0;
    if ((frame->type != MU_FRAME_VERDICT && frame->type != MU_FRAME_SNAPSHOT && !takes_over) ||
        frame->payload_bytes != 0)
        return mu_ps_refuse_type(peer, frame);
    if (!mu_ps_is_of_now(peer, frame))
        return MU_LINK_REFUSE;
    if (takes_over)
        return mu_ps_takeover_frame(peer, frame, body);
    return frame->type == MU_FRAME_VERDICT ? mu_ps_on_verdict(peer, frame, body)
                                           : on_snapshot(peer, frame, body);
}

static void on_head_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)body;
    struct mu_ps_peer *peer = owner;
    struct mu_ps_server *server = peer->server;
    if (frame->type == MU_FRAME_PLACE) {
        mu_ps_takeover_arrived(peer, frame);
    } else if (frame->type == MU_FRAME_VERDICT) {
        mu_ps_verdict_arrived(peer);
    } else if (!server->state.snapshot_is_again) {
        server->state.snapshot_queued = true;
        server->state.snapshot_heard = frame->tag;
        mu_ps_queue_add(&server->queue, &(struct mu_ps_event){.kind = MU_PS_EVENT_SNAPSHOT,
                                            .snapshot_id = frame->tag,
                                            .gives = server->state.snapshot_gives});
    }
}

static const struct mu_link_events head_events = {
    .frame = on_head_frame,
    .arrived = on_head_arrived,
    .ended = mu_ps_peer_ended,
};

static void add_head(struct mu_ps_peer *head, struct mu_link *link)
{
    if (!mu_ps_heal_begin(head)) {
        mu_link_close(link);
        return;
    }
    mu_ps_add_peer(head, link, &head_events);
    mu_ps_heal_ask(head);
}

void mu_ps_server_add_head(struct mu_ps_server *server, struct mu_link *link)
{
    assert(server->options.order > 0);
    add_head(&server->others[0], link);
}

void mu_ps_server_add_deputy(struct mu_ps_server *server, struct mu_link *link)
{
    int deputy = server->options.server_count;
    assert(server->options.replicas > 0);
    assert(server->options.order > 0 && server->options.order != deputy);
    add_head(&server->others[deputy], link);
}
