/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/tcp_peer.h"
#include "runtime/base/text.h"

/*
 * What ranks say about themselves, beside the data:
 *
 *   SEGMENT  flag MU_TCP_SIGNED: it is part of the operation that this rank signed last; the first
 *            one of an operation has the signature for its body, and if that is a step of
 *            another, also that one's, "operation"
 *   DOING    "signature", not of a step, "inside" that operation still; "asks": say the same;
 *            "differs": yours is another one, and what this rank was to send you will not come
 *   GOODBYE  "text": why this rank goes no further than the operation of "signature", not of a
 *            step; "why": 1 some ranks disagree, 2 it has waited too long, for rank "late" if that
 *            is not -1, 0 anything else
 */
#define DOING_BYTES_MAX 128
#define FAREWELL_MAX 640 /* on the wire; of which mu_seen keeps less */

static struct mu_seen *seen_of(const struct mu_tcp_peer *peer)
{
    return &peer->tcp->base.seen[peer->rank];
}

/* ---- signatures ---- */

const struct mu_signature *mu_tcp_doing(const struct mu_tcp *tcp)
{
    const struct mu_transport *base = &tcp->base;
    return base->signature && base->operation ? base->operation : base->signature;
}

/* What ranks disagree about is not overwritten: it is what the messages are to say. */
static void hear(struct mu_tcp_peer *peer, const struct mu_signature *signature)
{
    struct mu_seen *seen = seen_of(peer);
    if (peer->over != MU_OK || mu_signature_equal(&seen->signature, signature))
        return;
    seen->signature = *signature;
    seen->since_ns = mu_now(peer->tcp->base.loop->world);
    seen->inside = true;
}

static bool read_signature(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body,
    struct mu_signature *ret_signature)
{
    struct mu_decoder *decoder = mu_link_decoder(peer->link);
    return mu_decoder_read(decoder, body, frame->body_bytes) == MU_OK &&
           mu_decoder_bytes(decoder, "signature", ret_signature, sizeof(*ret_signature));
}

bool mu_tcp_hear_segment(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_signature signature;
    if (frame->body_bytes == 0)
        return true;
    if (!read_signature(peer, frame, body, &signature))
        return false;
    peer->signs = signature;
    /* It stays as it is where there is none. */
    (void)mu_decoder_bytes(mu_link_decoder(peer->link), "operation", &signature, sizeof(signature));
    hear(peer, &signature);
    return true;
}

bool mu_tcp_same_operation(const struct mu_tcp_peer *peer, const struct mu_frame *frame)
{
    const struct mu_signature *ours = peer->tcp->base.signature;
    return !ours || !(frame->flags & MU_TCP_SIGNED) || mu_signature_equal(&peer->signs, ours);
}

bool mu_tcp_may_become_same(const struct mu_tcp_peer *peer, const struct mu_frame *frame)
{
    const struct mu_signature *ours = peer->tcp->base.signature;
    const struct mu_signature *theirs = &peer->signs;
    return mu_tcp_same_operation(peer, frame) || theirs->group != ours->group ||
           (int32_t)(theirs->sequence - ours->sequence) > 0;
}

/* What a rank says without sending anything: does it do what we do, as far as we share it? What it
 * was to send in an operation comes before its word that it is in a later one. */
static bool differs_from_ours(const struct mu_tcp_peer *peer, const struct mu_signature *theirs)
{
    const struct mu_signature *ours = mu_tcp_doing(peer->tcp);
    if (!ours || theirs->group != ours->group || theirs->sequence == 0)
        return false;
    int32_t ahead = (int32_t)(theirs->sequence - ours->sequence);
    return ahead == 0 ? !mu_signature_equal(theirs, ours) : ahead > 0 && peer->first;
}

const void *mu_tcp_sign(struct mu_tcp_peer *peer, struct mu_op *op, struct mu_frame *frame)
{
    struct mu_tcp *tcp = peer->tcp;
    const struct mu_signature *ours = tcp->base.signature, *whole = mu_tcp_doing(tcp);
    if (!ours)
        return NULL;
    frame->flags |= MU_TCP_SIGNED;
    if (mu_signature_equal(&peer->told, ours))
        return NULL;
    struct mu_body body;
    peer->told = *ours;
    if (!mu_signature_equal(&tcp->signed_last, whole)) {
        tcp->signed_before = tcp->signed_last;
        tcp->signed_last = *whole;
    }
    mu_body_begin(&body, op->note, sizeof(op->note), whole == ours ? 1 : 2);
    mu_body_put_bytes(&body, "signature", ours, sizeof(*ours));
    if (whole != ours)
        mu_body_put_bytes(&body, "operation", whole, sizeof(*whole));
    assert(!body.failed);
    frame->body_bytes = (uint32_t)body.bytes;
    return op->note;
}

/* ---- telling ---- */

/* To one who is told that it differs, what this rank did instead, if that is known still: it may
 * have got through it. */
static const struct mu_signature *signature_for(
    const struct mu_tcp_peer *peer, enum mu_tcp_note note)
{
    const struct mu_signature *theirs = &seen_of(peer)->signature;
    const struct mu_signature *before = &peer->tcp->signed_before;
    bool passed = before->group == theirs->group && before->sequence == theirs->sequence;
    return note == MU_TCP_DIFFERS && before->sequence && passed ? before : mu_tcp_doing(peer->tcp);
}

void mu_tcp_tell(struct mu_tcp_peer *peer, enum mu_tcp_note note)
{
    const struct mu_signature *ours = signature_for(peer, note);
    uint8_t memory[DOING_BYTES_MAX];
    struct mu_body body;
    if (!peer->link)
        return;
    mu_body_begin(&body, memory, sizeof(memory), ours ? 4 : 3);
    if (ours)
        mu_body_put_bytes(&body, "signature", ours, sizeof(*ours));
    mu_body_put_int(&body, "inside", peer->tcp->inside);
    mu_body_put_int(&body, "asks", note == MU_TCP_ASKS);
    mu_body_put_int(&body, "differs", note == MU_TCP_DIFFERS);
    mu_link_post(peer->link, MU_FRAME_DOING, peer->tcp->generation, 0, &body);
}

void mu_tcp_tell_all(struct mu_tcp *tcp)
{
    for (int rank = 0; rank < tcp->base.count; rank++) {
        struct mu_tcp_peer *peer = &tcp->peer[rank];
        if (peer->link && mu_link_posts_waiting(peer->link) == 0)
            mu_tcp_tell(peer, MU_TCP_TELLS);
    }
}

void mu_tcp_drain(struct mu_tcp *tcp)
{
    tcp->drains = true;
    for (int rank = 0; rank < tcp->base.count; rank++)
        if (tcp->peer[rank].link) {
            mu_link_resume(tcp->peer[rank].link);
            mu_tcp_resume_streams(&tcp->peer[rank]);
        }
}

/* In the order of "why". */
static const enum mu_status farewells[] = {MU_CLOSED, MU_PROTOCOL, MU_TIMEOUT};

static int find_farewell(enum mu_status status)
{
    int why = 0;
    while (farewells[why] != mu_seen_status(status))
        why++;
    return why;
}

void mu_tcp_abort(struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    struct mu_tcp *tcp = (struct mu_tcp *)transport;
    char text[FAREWELL_MAX];
    uint8_t memory[FAREWELL_MAX + DOING_BYTES_MAX];
    struct mu_body body;
    const struct mu_signature *ours = mu_tcp_doing(tcp);
    mu_text_copy(text, sizeof(text), why);
    mu_body_begin(&body, memory, sizeof(memory), ours ? 4 : 3);
    if (ours)
        mu_body_put_bytes(&body, "signature", ours, sizeof(*ours));
    mu_body_put_text(&body, "text", text);
    mu_body_put_int(&body, "why", find_farewell(status));
    mu_body_put_int(&body, "late", late);
    tcp->drains = true;
    for (int rank = 0; rank < tcp->base.count; rank++)
        if (tcp->peer[rank].link)
            mu_link_post(tcp->peer[rank].link, MU_FRAME_GOODBYE, tcp->generation, 0, &body);
    (void)!tcp->base.loop->ops->turn(tcp->base.loop, mu_now(tcp->base.loop->world));
}

/* ---- hearing ---- */

static void look_if_surveyed(struct mu_tcp *tcp)
{
    tcp->surveyed = true;
    for (int rank = 0; rank < tcp->base.count; rank++)
        if (tcp->peer[rank].link && !tcp->base.seen[rank].answers)
            tcp->surveyed = false;
}

static bool hear_doing(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_decoder *decoder = mu_link_decoder(peer->link);
    struct mu_signature signature;
    int64_t inside, asks, differs;
    bool is_signed = read_signature(peer, frame, body, &signature);
    if (!mu_decoder_int(decoder, "inside", 0, 1, &inside) ||
        !mu_decoder_int(decoder, "asks", 0, 1, &asks) ||
        !mu_decoder_int(decoder, "differs", 0, 1, &differs))
        return false;
    if (is_signed)
        hear(peer, &signature);
    seen_of(peer)->inside = inside;
    seen_of(peer)->answers = true;
    if (asks)
        mu_tcp_tell(peer, MU_TCP_TELLS);
    if (peer->over != MU_OK)
        return true;
    if (differs)
        mu_tcp_end(peer, MU_PROTOCOL);
    else if (is_signed && differs_from_ours(peer, &signature))
        mu_tcp_differ(peer);
    return true;
}

static bool hear_goodbye(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body)
{
    struct mu_decoder *decoder = mu_link_decoder(peer->link);
    char text[FAREWELL_MAX];
    int64_t why, late;
    struct mu_signature last = {0}; /* it stays as it is where there is none */
    if (mu_decoder_read(decoder, body, frame->body_bytes) != MU_OK ||
        !mu_decoder_text(decoder, "text", text, sizeof(text)) ||
        !mu_decoder_int(decoder, "why", 0, MU_COUNT_OF(farewells) - 1, &why) ||
        !mu_decoder_int(decoder, "late", -1, peer->tcp->base.count - 1, &late))
        return false;
    (void)mu_decoder_bytes(decoder, "signature", &last, sizeof(last));
    struct mu_seen *seen = seen_of(peer);
    mu_text_copy(seen->farewell, sizeof(seen->farewell), text);
    seen->ended = farewells[why];
    seen->late = (int)late;
    seen->ended_in = last;
    const struct mu_signature *ours = mu_tcp_doing(peer->tcp);
    if (!ours || mu_signature_stops(&last, ours))
        mu_tcp_end(peer, seen->ended);
    if (peer->link)
        mu_tcp_leave(peer, seen->ended);
    return true;
}

void mu_tcp_hear_note(struct mu_tcp_peer *peer, const struct mu_frame *frame, const void *body)
{
    bool sound = frame->type == MU_FRAME_DOING ? hear_doing(peer, frame, body)
                                               : hear_goodbye(peer, frame, body);
    if (!sound)
        mu_tcp_lose(peer, MU_CLOSED);
    look_if_surveyed(peer->tcp);
}

/* ---- the survey ---- */

void mu_tcp_survey(struct mu_transport *transport, int64_t deadline_ns)
{
    struct mu_tcp *tcp = (struct mu_tcp *)transport;
    if (tcp->inside)
        mu_tcp_drain(tcp);
    for (int rank = 0; rank < tcp->base.count; rank++) {
        tcp->base.seen[rank].answers = false;
        if (!tcp->peer[rank].link)
            continue;
        mu_tcp_tell(&tcp->peer[rank], MU_TCP_ASKS);
    }
    look_if_surveyed(tcp);
    (void)!mu_loop_until(tcp->base.loop, &tcp->surveyed, deadline_ns);
}
