/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tcp.h"
#include <stdlib.h>

/* One direction from a peer: receives that are posted and not done, oldest first. */
struct incoming {
    struct tcp *tcp;
    struct mu_link *link;
    struct mu_op *first, **last;
};

struct tcp {
    struct mu_transport base;
    uint32_t generation;
    struct mu_link **outgoing;
    struct incoming *incoming;
};

static struct tcp *tcp_of(struct mu_transport *transport)
{
    return (struct tcp *)transport;
}

/* ---- receiving ---- */

static enum mu_link_answer on_frame(void *owner, struct mu_link *link, const struct mu_frame *frame,
    const void *body, void **ret_payload)
{
    (void)link;
    (void)body;
    struct incoming *incoming = owner;
    struct mu_op *op = incoming->first;
    if (frame->type != MU_FRAME_SEGMENT || frame->generation != incoming->tcp->generation)
        return MU_LINK_REFUSE;
    if (!op)
        return MU_LINK_HOLD;
    /* The ranks disagree about what they are doing: an error, not a wrong sum. */
    if (frame->tag != op->tag || frame->payload_bytes != op->bytes)
        return MU_LINK_REFUSE;
    *ret_payload = op->at;
    return MU_LINK_TAKE;
}

static void finish_first(struct incoming *incoming, enum mu_status status)
{
    struct mu_op *op = incoming->first;
    incoming->first = op->next;
    if (!incoming->first)
        incoming->last = &incoming->first;
    op->status = status;
    op->done = true;
}

static void on_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    finish_first(owner, MU_OK);
}

static void on_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)error;
    struct incoming *incoming = owner;
    while (incoming->first)
        finish_first(incoming, why);
}

static const struct mu_link_events incoming_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

static void tcp_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct incoming *incoming = &tcp_of(transport)->incoming[rank];
    *op = (struct mu_op){.rank = rank, .tag = tag, .at = to, .bytes = bytes};
    if (!mu_link_alive(incoming->link)) {
        op->status = MU_CLOSED;
        op->done = true;
        return;
    }
    *incoming->last = op;
    incoming->last = &op->next;
    mu_link_resume(incoming->link);
}

/* ---- sending ---- */

static void on_sent(struct mu_send *send)
{
    struct mu_op *op = send->owner;
    op->status = send->status;
    op->done = true;
}

static void tcp_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct tcp *tcp = tcp_of(transport);
    const struct mu_frame frame = {.type = MU_FRAME_SEGMENT,
        .generation = tcp->generation,
        .tag = tag,
        .payload_bytes = (uint32_t)bytes};
    op->done = false;
    op->status = MU_OK;
    op->rank = rank;
    op->send.finished = on_sent;
    op->send.owner = op;
    mu_link_send(tcp->outgoing[rank], &op->send, &frame, NULL, from);
}

/* Nothing comes this way on a link that we send on; its end is news all the same, but the receive
 * on the other link, or the next send, tells it. */
static enum mu_link_answer refuse_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    (void)owner;
    (void)link;
    (void)frame;
    (void)body;
    (void)ret_payload;
    return MU_LINK_REFUSE;
}

static void ignore_end(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)owner;
    (void)link;
    (void)why;
    (void)error;
}

static const struct mu_link_events outgoing_events = {
    .frame = refuse_frame,
    .ended = ignore_end,
};

static enum mu_status tcp_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct tcp *tcp = tcp_of(transport);
    if (op->done)
        return op->status;
    struct mu_link *link =
        tcp->outgoing[op->rank] ? tcp->outgoing[op->rank] : tcp->incoming[op->rank].link;
    MU_TRY(mu_loop_until(mu_link_loop(link), &op->done, deadline_ns));
    return op->status;
}

/* ---- life ---- */

static void tcp_close(struct mu_transport *transport)
{
    struct tcp *tcp = tcp_of(transport);
    for (int rank = 0; rank < tcp->base.count; rank++) {
        if (tcp->outgoing)
            mu_link_close(tcp->outgoing[rank]);
        if (tcp->incoming)
            mu_link_close(tcp->incoming[rank].link);
    }
    free(tcp->outgoing);
    free(tcp->incoming);
    free(tcp);
}

const struct mu_transport_ops mu_tcp_ops = {
    .name = "tcp",
    .doc = "one stream to each neighbour",
    .send = tcp_send,
    .receive = tcp_receive,
    .wait = tcp_wait,
    .close = tcp_close,
};

enum mu_status mu_tcp_open(int rank, int count, uint32_t generation,
    struct mu_link *const outgoing[], struct mu_link *const incoming[],
    struct mu_transport **ret_transport)
{
    struct tcp *tcp = calloc(1, sizeof(*tcp));
    if (!tcp)
        return MU_NO_MEMORY;
    tcp->base = (struct mu_transport){.ops = &mu_tcp_ops, .rank = rank, .count = count};
    tcp->generation = generation;
    tcp->outgoing = calloc((size_t)count, sizeof(*tcp->outgoing));
    tcp->incoming = calloc((size_t)count, sizeof(*tcp->incoming));
    if (!tcp->outgoing || !tcp->incoming) {
        free(tcp->outgoing);
        free(tcp->incoming);
        free(tcp);
        return MU_NO_MEMORY;
    }
    for (int peer = 0; peer < count; peer++) {
        struct incoming *from = &tcp->incoming[peer];
        *from = (struct incoming){.tcp = tcp, .link = incoming[peer], .last = &from->first};
        tcp->outgoing[peer] = outgoing[peer];
        if (outgoing[peer]) {
            mu_link_adopt(outgoing[peer], &outgoing_events, tcp);
            mu_link_resume(outgoing[peer]);
        }
        if (incoming[peer]) {
            mu_link_adopt(incoming[peer], &incoming_events, from);
            mu_link_resume(incoming[peer]);
        }
    }
    *ret_transport = &tcp->base;
    return MU_OK;
}
