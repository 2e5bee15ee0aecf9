/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/shm_peer.h"

/* ---- queues ---- */

static void push(struct mu_shm_queue *queue, struct mu_op *op)
{
    *queue->last = op;
    queue->last = &op->next;
}

static void finish_first(struct mu_shm_queue *queue, enum mu_status status)
{
    struct mu_op *op = queue->first;
    queue->first = op->next;
    if (!queue->first)
        queue->last = &queue->first;
    op->status = status;
    op->done = true;
}

static void finish_all(struct mu_shm_queue *queue, enum mu_status status)
{
    while (queue->first)
        finish_first(queue, status);
}

void mu_shm_peer_init(struct mu_shm_peer *peer)
{
    peer->sends.last = &peer->sends.first;
    peer->receives.last = &peer->receives.first;
}

void mu_shm_peer_send(struct mu_shm_peer *peer, struct mu_op *op)
{
    push(&peer->sends, op);
}

void mu_shm_peer_receive(struct mu_shm_peer *peer, struct mu_op *op)
{
    push(&peer->receives, op);
}

bool mu_shm_peer_idle(const struct mu_shm_peer *peer)
{
    return !peer->sends.first && !peer->receives.first;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- sending ---- */

/* Written, but published with the first bytes only. */
static void put_head(
    struct mu_shm_peer *peer, const struct mu_op *op, const struct mu_signature *ours)
{
    struct mu_shm_head head = {.tag = op->tag, .bytes = op->bytes};
    if (ours)
        head.signature = *ours;
    mu_shm_copy_in(&peer->out, peer->out.at, &head, sizeof(head));
    peer->sending = true;
    peer->sent = 0;
}

/* The next piece of the oldest send, after what `skipped` bytes of header need; false: no room. */
static bool put_piece(struct mu_shm_peer *peer, const struct mu_op *op, size_t skipped)
{
    size_t bytes = least(op->bytes - peer->sent, MU_SHM_PIECE_BYTES);
    bytes = least(bytes, mu_shm_room(&peer->out, skipped + bytes) - skipped);
    if (bytes == 0)
        return false;
    uint64_t at = peer->out.at + skipped;
    mu_shm_copy_in(&peer->out, at, (const char *)op->at + peer->sent, bytes);
    peer->sent += bytes;
    at += bytes;
    mu_shm_publish_head(&peer->out, peer->sent < op->bytes ? at : mu_shm_line_end(at));
    mu_shm_board_ring(peer->board);
    return true;
}

static int put(struct mu_shm_peer *peer, const struct mu_signature *ours)
{
    int pieces = 0;
    for (struct mu_op *op; (op = peer->sends.first);) {
        size_t skipped = peer->sending ? 0 : sizeof(struct mu_shm_head);
        if (!peer->sending) {
            if (mu_shm_room(&peer->out, MU_SHM_LINE_BYTES) < MU_SHM_LINE_BYTES)
                return pieces;
            put_head(peer, op, ours);
        }
        if (!put_piece(peer, op, skipped))
            return pieces;
        pieces++;
        if (peer->sent == op->bytes) {
            peer->sending = false;
            finish_first(&peer->sends, MU_OK);
        }
    }
    return pieces;
}

/* ---- receiving ---- */

/* They do something else than we: nothing more is taken from them, and they are told. */
static void refuse(struct mu_shm_peer *peer, const struct mu_signature *theirs)
{
    mu_shm_board_read(peer->board, peer->seen);
    if (theirs->sequence != 0)
        peer->seen->signature = *theirs;
    atomic_store_explicit(&peer->in.ring->refused, 1, memory_order_seq_cst);
    mu_shm_board_ring(peer->board);
    peer->ended = MU_PROTOCOL;
}

static bool agrees(
    const struct mu_op *op, const struct mu_shm_head *head, const struct mu_signature *ours)
{
    return head->tag == op->tag && head->bytes == op->bytes &&
           (!ours || head->signature.sequence == 0 || mu_signature_equal(ours, &head->signature));
}

static bool take_head(
    struct mu_shm_peer *peer, const struct mu_op *op, const struct mu_signature *ours)
{
    struct mu_shm_head head;
    if (mu_shm_filled(&peer->in, sizeof(head)) < sizeof(head))
        return false;
    mu_shm_copy_out(&peer->in, peer->in.at, &head, sizeof(head));
    if (!agrees(op, &head, ours)) {
        refuse(peer, &head.signature);
        return false;
    }
    if (head.signature.sequence != 0)
        peer->seen->signature = head.signature;
    peer->receiving = true;
    peer->received = 0;
    return true;
}

/* The next piece of the oldest receive; false: nothing has come. */
static bool take_piece(struct mu_shm_peer *peer, struct mu_op *op, size_t skipped)
{
    size_t bytes = least(op->bytes - peer->received, MU_SHM_PIECE_BYTES);
    bytes = least(bytes, mu_shm_filled(&peer->in, skipped + bytes) - skipped);
    if (bytes == 0)
        return false;
    uint64_t at = peer->in.at + skipped;
    mu_shm_copy_out(&peer->in, at, (char *)op->at + peer->received, bytes);
    peer->received += bytes;
    at += bytes;
    mu_shm_publish_tail(&peer->in, peer->received < op->bytes ? at : mu_shm_line_end(at));
    mu_shm_board_ring(peer->board);
    return true;
}

static int take(struct mu_shm_peer *peer, const struct mu_signature *ours)
{
    int pieces = 0;
    for (struct mu_op *op; (op = peer->receives.first);) {
        size_t skipped = peer->receiving ? 0 : sizeof(struct mu_shm_head);
        if (!peer->receiving && !take_head(peer, op, ours))
            return pieces;
        if (!take_piece(peer, op, skipped))
            return pieces;
        pieces++;
        if (peer->received == op->bytes) {
            peer->receiving = false;
            finish_first(&peer->receives, MU_OK);
        }
    }
    return pieces;
}

/* ---- all of it ---- */

bool mu_shm_peer_left(const struct mu_shm_peer *peer)
{
    return atomic_load_explicit(&peer->board->gone, memory_order_seq_cst) ||
           atomic_load_explicit(&peer->board->ended, memory_order_seq_cst);
}

static enum mu_status why_left(const struct mu_shm_peer *peer)
{
    return mu_seen_status(
        (enum mu_status)atomic_load_explicit(&peer->board->ended, memory_order_seq_cst));
}

void mu_shm_peer_end(struct mu_shm_peer *peer, const struct mu_signature *ours, enum mu_status why)
{
    if (peer->ended == MU_OK)
        take(peer, ours);
    if (peer->ended == MU_OK) {
        peer->ended = why;
        mu_shm_board_read(peer->board, peer->seen);
    }
    finish_all(&peer->receives, peer->ended);
    finish_all(&peer->sends, peer->ended);
}

int mu_shm_peer_move(struct mu_shm_peer *peer, const struct mu_signature *ours)
{
    int pieces = 0;
    if (peer->ended == MU_OK) {
        pieces = put(peer, ours);
        pieces += take(peer, ours);
    }
    if (mu_shm_peer_idle(peer))
        return pieces;
    if (peer->ended != MU_OK)
        mu_shm_peer_end(peer, ours, peer->ended);
    else if (atomic_load_explicit(&peer->out.ring->refused, memory_order_seq_cst))
        mu_shm_peer_end(peer, ours, MU_PROTOCOL);
    else if (mu_shm_peer_left(peer))
        mu_shm_peer_end(peer, ours, why_left(peer));
    return pieces;
}
