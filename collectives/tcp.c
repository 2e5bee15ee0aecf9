/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/tcp.h"
#include <stdlib.h>

/* A peer: receives that are posted and not done, oldest first. */
struct peer {
    struct tcp *tcp;
    struct mu_link *link; /* NULL: none, or this rank itself */
    struct mu_op *first, **last;
};

struct tcp {
    struct mu_transport base;
    uint32_t generation;
    struct peer *peer; /* (count) */
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
    struct peer *peer = owner;
    struct mu_op *op = peer->first;
    if (frame->type != MU_FRAME_SEGMENT || frame->generation != peer->tcp->generation)
        return MU_LINK_REFUSE;
    if (!op)
        return MU_LINK_HOLD;
    /* The ranks disagree about what they are doing: an error, not a wrong sum. */
    if (frame->tag != op->tag || frame->payload_bytes != op->bytes)
        return MU_LINK_REFUSE;
    *ret_payload = op->at;
    return MU_LINK_TAKE;
}

static void finish_first(struct peer *peer, enum mu_status status)
{
    struct mu_op *op = peer->first;
    peer->first = op->next;
    if (!peer->first)
        peer->last = &peer->first;
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
    struct peer *peer = owner;
    while (peer->first)
        finish_first(peer, why);
}

static const struct mu_link_events link_events = {
    .frame = on_frame,
    .arrived = on_arrived,
    .ended = on_ended,
};

static void tcp_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct peer *peer = &tcp_of(transport)->peer[rank];
    *op = (struct mu_op){.rank = rank, .tag = tag, .at = to, .bytes = bytes};
    if (!mu_link_alive(peer->link)) {
        op->status = MU_CLOSED;
        op->done = true;
        return;
    }
    *peer->last = op;
    peer->last = &op->next;
    mu_link_resume(peer->link);
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
    mu_link_send(tcp->peer[rank].link, &op->send, &frame, NULL, from);
}

static enum mu_status tcp_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    if (!op->done)
        MU_TRY(mu_loop_until(transport->loop, &op->done, deadline_ns));
    return op->status;
}

static bool tcp_reaches(struct mu_transport *transport, int rank)
{
    return tcp_of(transport)->peer[rank].link != NULL;
}

/* ---- life ---- */

static void tcp_close(struct mu_transport *transport)
{
    struct tcp *tcp = tcp_of(transport);
    for (int rank = 0; rank < tcp->base.count; rank++)
        mu_link_close(tcp->peer[rank].link);
    free(tcp->peer);
    free(tcp);
}

const struct mu_transport_ops mu_tcp_ops = {
    .name = "tcp",
    .doc = "one stream to each rank",
    .send = tcp_send,
    .receive = tcp_receive,
    .wait = tcp_wait,
    .reaches = tcp_reaches,
    .close = tcp_close,
};

enum mu_status mu_tcp_open(struct mu_loop *loop, int rank, int count, uint32_t generation,
    struct mu_link *const link[], struct mu_transport **ret_transport)
{
    struct tcp *tcp = calloc(1, sizeof(*tcp));
    if (!tcp)
        return MU_NO_MEMORY;
    tcp->base =
        (struct mu_transport){.ops = &mu_tcp_ops, .rank = rank, .count = count, .loop = loop};
    tcp->generation = generation;
    tcp->peer = calloc((size_t)count, sizeof(*tcp->peer));
    if (!tcp->peer) {
        free(tcp);
        return MU_NO_MEMORY;
    }
    for (int r = 0; r < count; r++) {
        struct peer *peer = &tcp->peer[r];
        *peer = (struct peer){.tcp = tcp, .link = link[r], .last = &peer->first};
        if (link[r]) {
            mu_link_adopt(link[r], &link_events, peer);
            mu_link_resume(link[r]);
        }
    }
    *ret_transport = &tcp->base;
    return MU_OK;
}
