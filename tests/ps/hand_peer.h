/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_HAND_PEER_H
#define MU_TEST_HAND_PEER_H

#include "ps/ps_bodies.h"
#include "tests/ps/hand_rig.h"

/* A worker, or another server, whose frames are sent by hand, and that may leave answers unread. */
struct hand_peer {
    struct mu_link *link;
    bool ended, holds;
    bool reads_one; /* in spite of it */
    int fresh_count, fresh_wanted;
    bool *over; /* set when as many have come as are wanted */
    float *fresh;
    struct mu_ps_fresh_body said;
};

static inline enum mu_link_answer hand_peer_frame(void *owner, struct mu_link *link,
    const struct mu_frame *frame, const void *body, void **ret_payload)
{
    struct hand_peer *peer = owner;
    if (frame->type == MU_FRAME_FRESH)
        assert_true(mu_ps_fresh_read(mu_link_decoder(link), body, frame->body_bytes, &peer->said));
    *ret_payload = peer->fresh;
    bool holds = peer->holds && !peer->reads_one;
    peer->reads_one = false;
    return holds ? MU_LINK_HOLD : MU_LINK_TAKE;
}

static inline void hand_peer_arrived(
    void *owner, struct mu_link *link, const struct mu_frame *frame, const void *body)
{
    (void)link;
    (void)frame;
    (void)body;
    struct hand_peer *peer = owner;
    peer->fresh_count++;
    if (peer->over && peer->fresh_count == peer->fresh_wanted)
        *peer->over = true;
}

static inline void hand_peer_ended(void *owner, struct mu_link *link, enum mu_status why, int error)
{
    (void)link;
    (void)why;
    (void)error;
    ((struct hand_peer *)owner)->ended = true;
}

static const struct mu_link_events hand_peer_events = {
    .frame = hand_peer_frame, .arrived = hand_peer_arrived, .ended = hand_peer_ended};

/* Connects a peer and returns the server's end. */
static inline struct mu_link *hand_peer_link(struct hand_peer *peer)
{
    return hand_rig_link(&peer->link, &hand_peer_events, peer);
}

static inline void hand_peer_push(struct hand_peer *peer, struct mu_send *send, uint8_t *body,
    const float *from, size_t count, uint64_t sequence)
{
    struct mu_ps_push_body fields = {.seen = 0, .scale = 1};
    struct mu_frame frame = {
        .type = MU_FRAME_PUSH,
        .generation = 7,
        .tag = sequence,
        .body_bytes = (uint32_t)mu_ps_push_write(body, &fields),
        .payload_bytes = (uint32_t)(count * sizeof(float)),
    };
    mu_link_send(peer->link, send, &frame, body, from);
}

#endif
