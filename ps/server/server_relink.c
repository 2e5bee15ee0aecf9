/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_relink.h"
#include "ps/server/server_answers.h"
#include "ps/server/server_buffer.h"
#include "ps/server/server_inside.h"
#include "ps/server/server_known.h"
#include "ps/server/server_peer.h"
#include "ps/server/server_queue.h"
#include "ps/server/server_rows.h"
#include "ps/server/server_serve.h"

/*
 * Workers that come back: with another link, or as another process.
 *
 *   link ends          half a frame is forgotten; what is whole goes on to its verdict
 *   READY n            n, n + 1, ... come again: numbers that are here already are read and thrown
 *                      away, and answered once more if the first answer went to an older link
 *   READY of another   the head drops what its predecessor has not had judged, and gives the change
 *   incarnation        a place in the order; the others drop the same there. Numbers begin anew
 *
 * A quiet push is not answered, but remembered like the others.
 *
 * What was answered is remembered for as long as its worker may ask (server_answers.h). An answer
 * that is given again brings no parameters, for those of then are gone: who wants some pulls.
 */

enum mu_status mu_ps_relink_init(struct mu_ps_server *server)
{
    const struct mu_ps_server_options *options = &server->options;
    for (int i = 0; i < options->replica_count; i++)
        server->ledger[i].incarnation = 1;
    if (!options->relinks)
        return MU_OK;
    return mu_ps_answers_init(&server->answers, options->replica_count, options->in_flight_max);
}

/* May this worker be sent something now? */
static bool can_answer(const struct mu_ps_peer *worker)
{
    return worker->link && (worker->of_worker.ready || !worker->server->options.relinks);
}

bool mu_ps_relink_sends(const struct mu_ps_server *server, const struct mu_ps_buffer *buffer)
{
    return can_answer(&server->workers[buffer->worker]) && !buffer->quiet;
}

/* ---- what was answered ---- */

void mu_ps_relink_note(struct mu_ps_server *server, const struct mu_ps_buffer *buffer,
    const struct mu_ps_fresh_body *fresh)
{
    const struct mu_ps_peer *worker = &server->workers[buffer->worker];
    if (!server->options.relinks)
        return;
    const struct mu_ps_answer answer = {
        .sequence = buffer->sequence,
        .tag = buffer->tag,
        .link_number = can_answer(worker) ? worker->link_number : worker->link_number - 1,
        .quiet = buffer->quiet,
        .fresh = *fresh,
    };
    mu_ps_answers_add(&server->answers, buffer->worker, &answer);
}

static void answer_again(struct mu_ps_peer *peer, uint64_t sequence)
{
    struct mu_ps_answer *answer = mu_ps_answers_find(&peer->server->answers, peer->index, sequence);
    if (!answer || answer->quiet || answer->link_number == peer->link_number)
        return; /* it is still to be answered, or is not, or was on this link */
    struct mu_ps_fresh_body fresh = answer->fresh;
    uint8_t memory[MU_PS_BODY_MAX];
    struct mu_body body;
    fresh.bare = true;
    answer->link_number = peer->link_number;
    mu_ps_fresh_put(&body, memory, &fresh);
    mu_link_post(peer->link, MU_FRAME_FRESH, peer->server->options.generation, answer->tag, &body);
}

/* ---- the end of a link ---- */

void mu_ps_relink_end(struct mu_ps_peer *peer)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_buffer *next = mu_ps_buffer_of(server, peer->index, peer->of_worker.sequence_next);
    struct mu_link *link = peer->link;
    peer->link = NULL;
    peer->ended = true;
    peer->held = peer->of_worker.ready = peer->at_hand.is_again = false;
    peer->of_worker.unread_since_ns = -1; /* numbers may begin anew */
    mu_link_close(link);
    if (next->state == MU_PS_BUFFER_RECEIVING)
        next->state = MU_PS_BUFFER_FREE;
    if (next->state == MU_PS_BUFFER_FREE) {
        mu_ps_rows_forget(next);
        mu_ps_buffer_give(next);
    }
    server->look_again = true;
}

/* ---- another incarnation ---- */

static bool waits(const struct mu_ps_buffer *buffer)
{
    return buffer->state == MU_PS_BUFFER_WAITING || buffer->state == MU_PS_BUFFER_HELD;
}

/* What is whole here of a worker that is gone, and will not be judged. */
static void drop_unjudged(struct mu_ps_server *server, int worker)
{
    for (int i = 0; i < server->options.in_flight_max; i++) {
        struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, worker, (uint64_t)i);
        if (buffer->state == MU_PS_BUFFER_QUEUED)
            continue;
        buffer->here_count = 0;
        buffer->here_flaw = MU_PS_FLAW_NONE;
        if (!waits(buffer))
            continue;
        server->waiting_count -= buffer->state == MU_PS_BUFFER_WAITING;
        server->held_count -= buffer->state == MU_PS_BUFFER_HELD;
        mu_ps_rows_forget(buffer);
        mu_ps_buffer_leave(buffer);
    }
}

void mu_ps_relink_lose(struct mu_ps_server *server, int worker)
{
    struct mu_ps_peer *peer = &server->workers[worker];
    drop_unjudged(server, worker);
    if (peer->of_worker.ready || !server->options.relinks)
        mu_ps_relink_end(peer); /* else it may be that of another incarnation */
}

/* On the head. What followers still say of the predecessor counts no more. */
static void begin_join(struct mu_ps_server *server, int worker, int64_t incarnation)
{
    struct mu_ps_worker *own = &server->ledger[worker];
    own->incarnation = incarnation;
    own->changes = true;
    drop_unjudged(server, worker);
    for (int i = 0; i < server->standby.seat_count; i++)
        server->others[i].of_server.noted[worker] = 0;
    mu_ps_queue_add(
        &server->queue, &(struct mu_ps_event){.kind = MU_PS_EVENT_JOIN, .worker = worker});
}

/* Nobody has to wait for it to do again what its predecessor did. */
static void judge_join(struct mu_ps_server *server, int worker)
{
    struct mu_ps_worker *own = &server->ledger[worker];
    uint64_t slowest = mu_ps_slowest(server, worker);
    uint64_t clock = slowest != UINT64_MAX && slowest > own->clock ? slowest : own->clock;
    own->change = (struct mu_ps_verdict_body){
        .worker = worker,
        .item = MU_PS_ITEM_JOIN,
        .version = server->shard.version,
        .clock = (int64_t)clock,
        .incarnation = own->incarnation,
    };
    mu_ps_tell_change(server, &own->change);
}

static void begin_anew(struct mu_ps_server *server, int worker)
{
    struct mu_ps_peer *peer = &server->workers[worker];
    drop_unjudged(server, worker);
    mu_ps_answers_forget(&server->answers, worker);
    if (peer->of_worker.ready)
        mu_ps_relink_end(peer); /* it is the predecessor's */
    peer->of_worker.sequence_next = server->sequence_served[worker] = 0;
}

enum mu_status mu_ps_relink_join(struct mu_ps_server *server, int worker)
{
    struct mu_ps_worker *own = &server->ledger[worker];
    if (mu_ps_is_head(server))
        judge_join(server, worker);
    mu_ps_known_add(&server->standby.known, 0, &own->change);
    MU_TRY(mu_ps_check_version(server, &own->change));
    begin_anew(server, worker);
    own->incarnation = own->change.incarnation;
    own->clock = (uint64_t)own->change.clock;
    own->refused_in_row = 0;
    server->active_count += own->left;
    own->left = own->is_lost = own->is_dead = own->changes = false;
    own->is_cut = own->cut_told = false;
    server->look_again = true; /* its READY is held */
    mu_ps_release(server);
    return MU_OK;
}

/* ---- frames ---- */

static enum mu_link_answer on_ready(
    struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_ps_server *server = peer->server;
    struct mu_ps_worker *own = &server->ledger[peer->index];
    struct mu_ps_ready_body ready;
    if (!mu_ps_ready_read(mu_link_decoder(peer->link), body, frame->body_bytes, &ready) ||
        frame->payload_bytes != 0 || peer->of_worker.ready)
        return mu_ps_refuse(peer, "sent a READY that is malformed, or the second one");
    if (!server->begun || !mu_ps_knows_head(server))
        return mu_ps_hold(peer);
    if (ready.incarnation < own->incarnation)
        return mu_ps_refuse(peer, "is incarnation %lld; %lld has come already",
            (long long)ready.incarnation, (long long)own->incarnation);
    if (ready.incarnation > own->incarnation && server->options.audit)
        return mu_ps_refuse(peer,
            "begins anew as incarnation %lld, which the audit log has no record for",
            (long long)ready.incarnation);
    if (ready.incarnation > own->incarnation && mu_ps_is_head(server) && !own->changes)
        begin_join(server, peer->index, ready.incarnation);
    if (ready.incarnation > own->incarnation || own->changes)
        return mu_ps_hold(peer);
    if (own->is_lost)
        return mu_ps_refuse(peer, "comes back although it counts as lost: the others go on");
    if (frame->tag > peer->of_worker.sequence_next)
        return mu_ps_refuse(peer, "goes on with push %llu where %llu is next",
            (unsigned long long)frame->tag, (unsigned long long)peer->of_worker.sequence_next);
    peer->of_worker.again_next = frame->tag;
    peer->of_worker.again_end = peer->of_worker.sequence_next;
    return MU_LINK_TAKE;
}

/* Is this number here, or was it answered? */
static bool is_known(struct mu_ps_server *server, int worker, uint64_t sequence)
{
    const struct mu_ps_buffer *buffer = mu_ps_buffer_of(server, worker, sequence);
    bool is_here =
        buffer->sequence == sequence && (waits(buffer) || buffer->state == MU_PS_BUFFER_QUEUED);
    return is_here || mu_ps_answers_find(&server->answers, worker, sequence);
}

bool mu_ps_relink_frame(struct mu_ps_peer *peer, const struct mu_frame *frame, const void *body,
    enum mu_link_answer *ret_answer)
{
    bool is_ours = frame->type == MU_FRAME_PUSH || frame->type == MU_FRAME_PULL ||
                   frame->type == MU_FRAME_ROWS;
    if (!is_ours && frame->type != MU_FRAME_READY)
        return false;
    if (!mu_ps_is_of_now(peer, frame))
        *ret_answer = MU_LINK_REFUSE;
    else if (frame->type == MU_FRAME_READY)
        *ret_answer = on_ready(peer, frame, body);
    else if (!peer->of_worker.ready)
        *ret_answer =
            mu_ps_refuse(peer, "sent a %s before its READY", mu_frame_type_name(frame->type));
    else if (frame->tag >= peer->of_worker.again_next && frame->tag < peer->of_worker.again_end &&
             is_known(peer->server, peer->index, frame->tag)) {
        peer->at_hand.is_again = true;
        *ret_answer = MU_LINK_SKIP;
    } else
        return false;
    return true;
}

void mu_ps_relink_arrived(struct mu_ps_peer *peer, const struct mu_frame *frame)
{
    peer->at_hand.is_again = false;
    if (frame->type == MU_FRAME_READY) {
        peer->of_worker.ready = true;
    } else if (frame->type != MU_FRAME_ROWS) {
        peer->of_worker.again_next = frame->tag + 1;
        answer_again(peer, frame->tag);
    }
}
