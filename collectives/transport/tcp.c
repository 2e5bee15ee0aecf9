/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/swap.h"
#include "collectives/transport/tcp_peer.h"
#include <stdlib.h>

/* A rank that waits tells the others what for, soon and then again and again: ranks that do
 * different things may all wait and send nothing. And who surveys them need not be heard by a rank
 * that reads nothing, because it has not posted a receive. */
#define TELL_FIRST_NS (MU_SECOND / 10)
#define TELL_NS MU_SECOND
#define HAND_OVER_NS (10 * MU_SECOND)
#define LAST_WORDS_NS (MU_SECOND / 10) /* to say, and to hear, why a rank goes no further */
#define SPIN_NS 50000 /* as long as it takes to sleep and be woken, or a little more */

static struct mu_tcp *tcp_of(struct mu_transport *transport)
{
    return (struct mu_tcp *)transport;
}

/* ---- receiving ---- */

static void finish_first(struct mu_tcp_peer *peer, enum mu_status status)
{
    struct mu_op *op = peer->first;
    peer->first = op->next;
    if (!peer->first)
        peer->last = &peer->first;
    op->status = status;
    op->done = true;
}

/* What is arriving lands, and nobody waits for it any more. */
static void finish_posted(struct mu_tcp_peer *peer, int because, enum mu_status why)
{
    peer->takes = false;
    while (peer->first) {
        peer->first->rank = because;
        finish_first(peer, why);
    }
}

static void finish_all(struct mu_tcp_peer *peer, int because, enum mu_status why)
{
    mu_tcp_forget_parts(peer);
    finish_posted(peer, because, why);
    for (; peer->open; peer->open = peer->open->next) {
        peer->open->rank = because;
        peer->open->status = why;
        peer->open->done = true;
    }
}

void mu_tcp_lose(struct mu_tcp_peer *peer, enum mu_status why)
{
    struct mu_link *link = peer->link;
    if (peer->over == MU_OK)
        peer->over = why;
    finish_all(peer, peer->rank, peer->over);
    if (why == MU_CLOSED) {
        peer->link = NULL;
        mu_link_close(link);
        mu_tcp_trim_streams(peer, 0);
    }
}

static struct mu_signature doing(const struct mu_tcp *tcp)
{
    const struct mu_signature *ours = mu_tcp_doing(tcp);
    return ours ? *ours : (struct mu_signature){0};
}

/* Has somebody ended what this rank does? Not what it did before, which got through. */
static bool is_ended(const struct mu_tcp *tcp)
{
    struct mu_signature ours = doing(tcp);
    return tcp->ended && mu_signature_equal(&tcp->ended_in, &ours);
}

void mu_tcp_end(struct mu_tcp_peer *because, enum mu_status why)
{
    struct mu_tcp *tcp = because->tcp;
    struct mu_op *waited = tcp->waited;
    mu_tcp_lose(because, why);
    if (!mu_transport_takes_part(&tcp->base, because->rank))
        return;
    /* Who goes no further may do so because of what this one does: that says more. */
    if (!is_ended(tcp) || (tcp->ended_as != MU_PROTOCOL && why == MU_PROTOCOL)) {
        tcp->ended = because;
        tcp->ended_as = why;
        tcp->ended_in = doing(tcp);
    }
    for (int rank = 0; rank < tcp->base.count; rank++)
        finish_all(&tcp->peer[rank], because->rank, why);
    if (waited && !waited->done) { /* a send, which nobody takes any more */
        waited->rank = because->rank;
        waited->status = why;
        waited->done = true;
    }
}

void mu_tcp_differ(struct mu_tcp_peer *peer)
{
    mu_tcp_end(peer, MU_PROTOCOL);
    mu_tcp_tell(peer, MU_TCP_DIFFERS);
}

static bool is_for(
    const struct mu_tcp_peer *peer, const struct mu_op *op, const struct mu_frame *frame)
{
    int parts = mu_tcp_parts_of(frame);
    return frame->tag == op->tag &&
           frame->payload_bytes == mu_tcp_part_bytes(op->bytes, parts, 0) &&
           mu_tcp_same_operation(peer, frame);
}

static enum mu_link_answer hold(struct mu_tcp_peer *peer)
{
    struct mu_tcp *tcp = peer->tcp;
    peer->holds = tcp->holds = true;
    if (tcp->base.signature)
        tcp->held = *tcp->base.signature;
    return MU_LINK_HOLD;
}

static enum mu_link_answer on_segment(
    struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct mu_op *op = peer->first;
    peer->takes = peer->holds = false;
    if (mu_tcp_part_of(frame) != 0 || !mu_tcp_hear_segment(peer, frame, body))
        return MU_LINK_REFUSE;
    if (peer->over != MU_OK)
        return MU_LINK_SKIP;
    /* The ranks disagree about what they are doing: an error, not a wrong sum. */
    if (op ? !is_for(peer, op, frame) : !mu_tcp_may_become_same(peer, frame)) {
        mu_tcp_differ(peer);
        return MU_LINK_SKIP;
    }
    if (!op)
        return peer->tcp->drains ? MU_LINK_SKIP : hold(peer);
    if (mu_tcp_parts_of(frame) > peer->streams + 1)
        return MU_LINK_REFUSE;
    *ret_payload = op->at;
    op->parts = (uint8_t)mu_tcp_parts_of(frame);
    peer->takes = true;
    return MU_LINK_TAKE;
}

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    struct mu_tcp_peer *peer = owner;
    bool note = frame->type == MU_FRAME_DOING || frame->type == MU_FRAME_GOODBYE;
    if (frame->generation != peer->tcp->generation)
        return MU_LINK_REFUSE;
    if (frame->type == MU_FRAME_SEGMENT && frame->payload_bytes > 0)
        return on_segment(peer, frame, body, ret_payload);
    return note && frame->payload_bytes == 0 ? MU_LINK_TAKE : MU_LINK_REFUSE;
}

/* The first is here: all of it, or as much as comes over this link. */
static void take_first(struct mu_tcp_peer *peer)
{
    struct mu_op *op = peer->first;
    if (op->parts == 1) {
        finish_first(peer, MU_OK);
        return;
    }
    peer->first = op->next;
    if (!peer->first)
        peer->last = &peer->first;
    mu_tcp_first_part(peer, op);
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    struct mu_tcp_peer *peer = owner;
    if (frame->type != MU_FRAME_SEGMENT)
        mu_tcp_hear_note(peer, frame, body);
    else if (peer->takes)
        take_first(peer);
}

void mu_tcp_leave(struct mu_tcp_peer *peer, enum mu_status why)
{
    struct mu_link *link = peer->link;
    if (peer->over == MU_OK)
        peer->over = why;
    if (!peer->open) {
        mu_tcp_lose(peer, MU_CLOSED);
        return;
    }
    /* The rest of what has begun to arrive is still to be read from the other links. */
    finish_posted(peer, peer->rank, peer->over);
    peer->link = NULL;
    mu_link_close(link);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    mu_tcp_leave(owner, why);
}

static const struct mu_link_events link_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

/* Is it over before it began: with this peer, or with all because of one of them? */
static bool begins_over(const struct mu_tcp_peer *peer, struct mu_op *op)
{
    const struct mu_tcp *tcp = peer->tcp;
    op->rank = peer->rank;
    op->status = peer->over;
    if (op->status == MU_OK && is_ended(tcp)) {
        op->status = tcp->ended_as;
        op->rank = tcp->ended->rank;
    }
    op->done = op->status != MU_OK;
    return op->done;
}

static void tcp_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct mu_tcp_peer *peer = &tcp_of(transport)->peer[rank];
    op->tag = tag;
    op->at = to;
    op->bytes = bytes;
    op->next = NULL;
    op->parts = op->arrived = 0;
    if (begins_over(peer, op))
        return;
    *peer->last = op;
    peer->last = &op->next;
    mu_link_resume(peer->link);
    if (peer->streams)
        mu_tcp_resume_streams(peer);
}

/* ---- sending ---- */

static void on_sent(struct mu_send *send)
{
    mu_tcp_part_sent(send->owner, send->status);
}

static void tcp_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct mu_tcp *tcp = tcp_of(transport);
    struct mu_tcp_peer *peer = &tcp->peer[rank];
    if (begins_over(peer, op))
        return;
    struct mu_frame frame = {.type = MU_FRAME_SEGMENT,
        .generation = tcp->generation,
        .tag = tag,
        .payload_bytes = (uint32_t)bytes};
    int parts = peer->streams ? mu_tcp_cut(peer, bytes) : 1;
    op->parts = op->leaving = (uint8_t)parts;
    if (parts > 1) {
        frame.flags = (uint16_t)((parts - 1) << MU_TCP_PARTS_SHIFT);
        frame.payload_bytes = (uint32_t)mu_tcp_part_bytes(bytes, parts, 0);
    }
    const void *body = mu_tcp_sign(peer, op, &frame);
    op->send.finished = on_sent;
    op->send.owner = op;
    mu_link_send(peer->link, &op->send, &frame, body, from);
    if (parts > 1)
        mu_tcp_send_parts(peer, op, tag, from, bytes);
}

/* ---- waiting ---- */

/* What came before this rank entered its operation may be of another one; then nothing of the
 * same rank is ever received, and nobody would see it. */
static void look_again(struct mu_tcp *tcp)
{
    const struct mu_signature *ours = tcp->base.signature;
    if (!ours || mu_signature_equal(&tcp->held, ours))
        return;
    tcp->held = *ours;
    tcp->holds = false; /* until it holds again */
    for (int rank = 0; rank < tcp->base.count; rank++)
        if (tcp->peer[rank].link && tcp->peer[rank].holds)
            mu_link_resume(tcp->peer[rank].link);
}

/* When the others are told next: of each operation soon. */
static int64_t next_tell_ns(struct mu_tcp *tcp)
{
    static const struct mu_signature none;
    const struct mu_signature *ours = tcp->base.signature ? tcp->base.signature : &none;
    if (tcp->tell_ns == 0 || !mu_signature_equal(&tcp->waits, ours)) {
        tcp->waits = *ours;
        tcp->tell_ns = mu_deadline(mu_now(tcp->base.loop->world), TELL_FIRST_NS);
    }
    return tcp->tell_ns;
}

static enum mu_status wait_and_tell(struct mu_tcp *tcp, struct mu_op *op, int64_t deadline_ns)
{
    struct mu_loop *loop = tcp->base.loop;
    for (;;) {
        int64_t tell_ns = next_tell_ns(tcp);
        int64_t until_ns = tell_ns < deadline_ns ? tell_ns : deadline_ns;
        enum mu_status status = mu_loop_until(loop, &op->done, until_ns);
        if (status != MU_TIMEOUT || until_ns != tell_ns)
            return status;
        mu_tcp_tell_all(tcp);
        tcp->tell_ns = mu_deadline(mu_now(loop->world), TELL_NS);
    }
}

/* Why nothing goes on with a rank may still be unread: it takes nothing any more and has said why,
 * or it has heard from another that goes no further because of this one. */
static void find_why_closed(struct mu_tcp *tcp, struct mu_op *op)
{
    struct mu_loop *loop = tcp->base.loop;
    const struct mu_tcp_peer *peer = &tcp->peer[op->rank];
    int64_t until_ns = mu_deadline(mu_now(loop->world), LAST_WORDS_NS);
    mu_tcp_drain(tcp);
    (void)!loop->ops->turn(loop, mu_now(loop->world));
    while (peer->over == MU_OK && !is_ended(tcp) && mu_now(loop->world) < until_ns)
        (void)!loop->ops->turn(loop, until_ns);
    if (is_ended(tcp)) {
        op->status = tcp->ended_as;
        op->rank = tcp->ended->rank;
    }
}

static enum mu_status tcp_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct mu_tcp *tcp = tcp_of(transport);
    enum mu_status status = MU_OK;
    tcp->inside = true;
    if (tcp->holds)
        look_again(tcp);
    if (!op->done) {
        tcp->waited = op;
        transport->loop->spin_ns = transport->loop->processors > 0 ? SPIN_NS : 0;
        status = wait_and_tell(tcp, op, deadline_ns);
        transport->loop->spin_ns = 0;
        tcp->waited = NULL;
    }
    if (status == MU_OK && op->status == MU_CLOSED)
        find_why_closed(tcp, op);
    if (status == MU_OK)
        status = op->status;
    tcp->inside = status != MU_OK;
    return status;
}

static bool tcp_reaches(struct mu_transport *transport, int rank)
{
    return tcp_of(transport)->peer[rank].reached;
}

/* ---- life ---- */

/* Why this rank goes no further may still wait behind what it was sending. */
static void say_last_words(struct mu_tcp *tcp)
{
    int64_t until_ns = mu_deadline(mu_now(tcp->base.loop->world), LAST_WORDS_NS);
    for (int rank = 0; rank < tcp->base.count; rank++) {
        struct mu_link *link = tcp->peer[rank].link;
        if (!link || mu_link_posts_waiting(link) == 0)
            continue;
        tcp->peer[rank].link = NULL;
        mu_link_flush(link, until_ns);
    }
}

/* Who ends first leaves the others what it has sent: some of it may still be on its way, and a
 * socket that is closed while its peer talks forgets it. */
static void hand_over(struct mu_tcp *tcp)
{
    int64_t until_ns = mu_deadline(mu_now(tcp->base.loop->world), HAND_OVER_NS);
    for (int rank = 0; rank < tcp->base.count; rank++) {
        struct mu_link *link = tcp->peer[rank].link;
        tcp->peer[rank].link = NULL;
        if (link)
            mu_link_flush(link, until_ns);
        mu_tcp_flush_streams(&tcp->peer[rank], until_ns);
    }
}

static void tcp_close(struct mu_transport *transport)
{
    struct mu_tcp *tcp = tcp_of(transport);
    if (tcp->drains)
        say_last_words(tcp);
    else if (!is_ended(tcp) && !tcp->inside && tcp->base.loop->cancelled == MU_OK)
        hand_over(tcp);
    for (int rank = 0; rank < tcp->base.count; rank++) {
        mu_link_close(tcp->peer[rank].link);
        mu_tcp_end_streams(&tcp->peer[rank]);
    }
    mu_swap_free_kept(transport);
    free(tcp->probe);
    free(tcp->base.seen);
    free(tcp->peer);
    free(tcp);
}

const struct mu_transport_ops mu_tcp_ops = {
    .name = "tcp",
    .doc = "one stream to each rank, or several where one does not fill the link",
    .send = tcp_send,
    .receive = tcp_receive,
    .wait = tcp_wait,
    .reaches = tcp_reaches,
    .abort = mu_tcp_abort,
    .survey = mu_tcp_survey,
    .close = tcp_close,
};

void mu_tcp_take_link(struct mu_tcp_peer *peer, struct mu_link *link)
{
    peer->link = link;
    mu_link_adopt(link, &link_events, peer);
    mu_link_resume(link);
    if (!mu_link_alive(link))
        mu_tcp_lose(peer, MU_CLOSED);
}

static void init_peer(struct mu_tcp *tcp, int rank, struct mu_link *link)
{
    struct mu_tcp_peer *peer = &tcp->peer[rank];
    *peer = (struct mu_tcp_peer){.tcp = tcp,
        .rank = rank,
        .reached = link != NULL,
        .over = link ? MU_OK : MU_CLOSED,
        .last = &peer->first};
    if (link)
        mu_tcp_take_link(peer, link);
}

enum mu_status mu_tcp_open(struct mu_loop *loop, int rank, int count, uint32_t generation,
    struct mu_link *const link[], struct mu_transport **ret_transport)
{
    struct mu_tcp *tcp = calloc(1, sizeof(*tcp));
    if (!tcp)
        return MU_NO_MEMORY;
    tcp->base =
        (struct mu_transport){.ops = &mu_tcp_ops, .rank = rank, .count = count, .loop = loop};
    tcp->generation = generation;
    tcp->peer = calloc((size_t)count, sizeof(*tcp->peer));
    tcp->base.seen = calloc((size_t)count, sizeof(*tcp->base.seen));
    if (!tcp->peer || !tcp->base.seen) {
        free(tcp->base.seen);
        free(tcp->peer);
        free(tcp);
        return MU_NO_MEMORY;
    }
    for (int r = 0; r < count; r++) {
        init_peer(tcp, r, link[r]);
        tcp->base.seen[r].hearsay = true;
    }
    *ret_transport = &tcp->base;
    return MU_OK;
}
