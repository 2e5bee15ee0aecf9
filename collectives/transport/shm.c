/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/transport/shm.h"
#include "collectives/segments.h"
#include "collectives/swap.h"
#include "collectives/transport/shm_peer.h"
#include "runtime/io/futex.h"
#include <stdlib.h>

/*
 * The segment of a rank: its board, then one ring from each rank. The rings of a rank stay in the
 * cache together where that can be.
 */
#define RING_BYTES_MAX ((size_t)512 << 10)
#define RING_BYTES_MIN ((size_t)32 << 10)
#define RINGS_BYTES ((size_t)2 << 20) /* of one rank, in all, if it can be */
#define BOARD_BYTES ((size_t)4096)

/* Rounds of looking, then of yielding, then sleeps; crowded: more ranks than processors. */
#define SPIN_ROUNDS 2000
#define SPIN_ROUNDS_CROWDED 20
#define YIELD_ROUNDS 200
#define LOOK_ROUNDS 64              /* between looks at the clock */
#define YIELD_NS MU_MS              /* where others take the processor, a yield may last long */
#define TURN_NS (50 * MU_MS / 1000) /* between turns of the loop of messages */
#define SLEEP_NS MU_MS              /* at the most, before the next look around */
#define ASK_NS (MU_MS / 4)          /* between looks at who has answered */

static_assert(sizeof(struct mu_shm_board) <= BOARD_BYTES, "the board has a page of its own");
static_assert(MU_SHM_PIECE_BYTES <= RING_BYTES_MIN, "a piece fits");

struct shm {
    struct mu_transport base;
    struct mu_world *world;
    struct mu_segments *segments;
    struct mu_shm_board *board;  /* ours */
    struct mu_signature said;    /* what the board says */
    struct mu_shm_peer *peer;    /* (count) */
    struct mu_shm_peer **active; /* (count) those with something under way */
    int active_count, spin_rounds;
    int64_t turned_ns;
    unsigned waits;
    uint64_t pieces; /* moved so far: whether a round has moved any */
    bool aborted;
};

static struct shm *shm_of(struct mu_transport *transport)
{
    return (struct shm *)transport;
}

/* ---- moving bytes ---- */

static void move_all(struct shm *shm)
{
    for (int i = 0; i < shm->active_count; i++) {
        struct mu_shm_peer *peer = shm->active[i];
        shm->pieces += (unsigned)mu_shm_peer_move(peer, shm->base.signature);
        if (mu_shm_peer_idle(peer)) {
            peer->active = false;
            shm->active[i--] = shm->active[--shm->active_count];
        }
    }
}

/* ---- sending and receiving ---- */

static void enter(struct shm *shm)
{
    const struct mu_signature *signature = shm->base.signature;
    if (signature && shm->base.operation)
        signature = shm->base.operation;
    if (!signature || memcmp(signature, &shm->said, sizeof(*signature)) == 0)
        return;
    shm->said = *signature;
    mu_shm_board_enter(shm->board, signature, mu_now(shm->world));
}

/* False: there is no way, and the op is done. */
static bool begin(struct shm *shm, struct mu_op *op, int rank, uint64_t tag, void *at, size_t bytes)
{
    bool has_way = shm->peer[rank].board && !shm->aborted;
    op->done = !has_way;
    op->status = has_way ? MU_OK : MU_CLOSED;
    op->rank = rank;
    op->tag = tag;
    op->at = at;
    op->bytes = bytes;
    op->next = NULL;
    enter(shm);
    return has_way;
}

static void move(struct shm *shm, struct mu_shm_peer *peer)
{
    shm->pieces += (unsigned)mu_shm_peer_move(peer, shm->base.signature);
    if (!mu_shm_peer_idle(peer) && !peer->active) {
        peer->active = true;
        shm->active[shm->active_count++] = peer;
    }
}

static void shm_send(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    const void *from, size_t bytes)
{
    struct shm *shm = shm_of(transport);
    /* It is only read from there. */
    if (!begin(shm, op, rank, tag, (void *)(uintptr_t)from, bytes))
        return;
    mu_shm_peer_send(&shm->peer[rank], op);
    move(shm, &shm->peer[rank]);
}

static void shm_receive(struct mu_transport *transport, struct mu_op *op, int rank, uint64_t tag,
    void *to, size_t bytes)
{
    struct shm *shm = shm_of(transport);
    if (!begin(shm, op, rank, tag, to, bytes))
        return;
    mu_shm_peer_receive(&shm->peer[rank], op);
    move(shm, &shm->peer[rank]);
}

/* Says that this rank is there to whoever has asked. */
static void answer(struct shm *shm)
{
    uint32_t asked = atomic_load_explicit(&shm->board->asked, memory_order_seq_cst);
    atomic_store_explicit(&shm->board->answer, asked, memory_order_release);
}

static bool shm_poll(struct mu_transport *transport)
{
    struct shm *shm = shm_of(transport);
    answer(shm);
    move_all(shm);
    return shm->active_count > 0;
}

static bool shm_reaches(struct mu_transport *transport, int rank)
{
    return shm_of(transport)->peer[rank].board != NULL;
}

/* ---- waiting ---- */

/* What must go on while this rank waits: the links of messages, and answers to surveys. */
static enum mu_status look_around(struct shm *shm, int64_t now_ns)
{
    struct mu_loop *loop = shm->base.loop;
    answer(shm);
    if (!loop)
        return MU_OK;
    if (now_ns - shm->turned_ns >= TURN_NS) {
        shm->turned_ns = now_ns;
        (void)!loop->ops->turn(loop, now_ns);
    }
    return loop->cancelled;
}

/* Of a process that was killed nothing else tells. */
static void end_if_dead(struct shm *shm, const struct mu_op *op)
{
    if (!mu_segments_alive(shm->segments, op->rank))
        mu_shm_peer_end(&shm->peer[op->rank], shm->base.signature, MU_CLOSED);
}

static void sleep_a_little(struct shm *shm, struct mu_op *op, int64_t now_ns, int64_t deadline_ns)
{
    end_if_dead(shm, op);
    if (op->done)
        return;
    int64_t time_ns = deadline_ns - now_ns;
    mu_shm_board_doze(shm->board);
    move_all(shm);
    mu_shm_board_sleep(shm->board, op->done ? 0 : time_ns < SLEEP_NS ? time_ns : SLEEP_NS);
}

/* Rounds in which nothing has moved. */
struct vain {
    int rounds;
    int64_t yields_ns; /* when it began to yield */
};

/* One round of a wait: looks around now and then, and rests the longer the more rounds were in
 * vain. */
static enum mu_status wait_round(
    struct shm *shm, struct mu_op *op, struct vain *vain, int64_t deadline_ns)
{
    int yields = vain->rounds - shm->spin_rounds;
    if (yields < 0 && vain->rounds % LOOK_ROUNDS != 0) {
        mu_futex_relax();
        return MU_OK;
    }
    int64_t now_ns = mu_now(shm->world);
    MU_TRY(look_around(shm, now_ns));
    if (now_ns >= deadline_ns)
        return MU_TIMEOUT;
    if (yields <= 0)
        vain->yields_ns = now_ns;
    if (yields > YIELD_ROUNDS || now_ns - vain->yields_ns >= YIELD_NS)
        sleep_a_little(shm, op, now_ns, deadline_ns);
    else if (yields >= 0)
        mu_futex_yield();
    return MU_OK;
}

static enum mu_status wait_long(struct shm *shm, struct mu_op *op, int64_t deadline_ns)
{
    struct vain vain = {0};
    while (!op->done) {
        uint64_t before = shm->pieces;
        enum mu_status status = wait_round(shm, op, &vain, deadline_ns);
        if (status == MU_TIMEOUT) /* who waits in short pieces may never sleep */
            end_if_dead(shm, op);
        if (status != MU_OK && !op->done)
            return status;
        move_all(shm);
        vain.rounds = shm->pieces == before ? vain.rounds + 1 : 0;
    }
    return op->status;
}

static void see_all(struct shm *shm)
{
    for (int rank = 0; rank < shm->base.count; rank++)
        if (shm->peer[rank].board)
            mu_shm_board_read(shm->peer[rank].board, &shm->base.seen[rank]);
}

static enum mu_status shm_wait(
    struct mu_transport *transport, struct mu_op *op, int64_t deadline_ns)
{
    struct shm *shm = shm_of(transport);
    if (op->done && op->status == MU_OK && ++shm->waits % LOOK_ROUNDS != 0)
        return MU_OK;
    atomic_store_explicit(&shm->board->inside, 1, memory_order_relaxed);
    move_all(shm);
    enum mu_status status = look_around(shm, mu_now(shm->world));
    if (op->done)
        status = op->status;
    else if (status == MU_OK)
        status = wait_long(shm, op, deadline_ns);
    if (status == MU_OK)
        atomic_store_explicit(&shm->board->inside, 0, memory_order_relaxed);
    else if (status == MU_TIMEOUT)
        see_all(shm);
    return status;
}

/* ---- saying and asking why ---- */

static void ring_all(struct shm *shm)
{
    for (int rank = 0; rank < shm->base.count; rank++)
        if (shm->peer[rank].board)
            mu_shm_board_ring(shm->peer[rank].board);
}

static void shm_abort(
    struct mu_transport *transport, enum mu_status status, int late, const char *why)
{
    struct shm *shm = shm_of(transport);
    enter(shm); /* it may have waited elsewhere */
    if (!shm->aborted)
        mu_shm_board_end(shm->board, status, late, why);
    shm->aborted = true;
    ring_all(shm);
}

static void shm_look(struct mu_transport *transport)
{
    see_all(shm_of(transport));
}

/* True: nobody is left to wait for. */
static bool has_answered(struct shm *shm, int rank)
{
    struct mu_shm_peer *peer = &shm->peer[rank];
    if (!peer->board || mu_shm_peer_left(peer))
        return true;
    uint32_t answer = atomic_load_explicit(&peer->board->answer, memory_order_acquire);
    struct mu_seen *seen = &shm->base.seen[rank];
    seen->answers = (int32_t)(answer - peer->asked) >= 0;
    return seen->answers || !mu_segments_alive(shm->segments, rank);
}

static void ask_all(struct shm *shm)
{
    for (int rank = 0; rank < shm->base.count; rank++) {
        struct mu_shm_peer *peer = &shm->peer[rank];
        shm->base.seen[rank].answers = false;
        if (peer->board)
            peer->asked =
                atomic_fetch_add_explicit(&peer->board->asked, 1, memory_order_seq_cst) + 1;
    }
    ring_all(shm);
}

/* All is on the boards; what a survey adds is who is still there to notice it. */
static void shm_survey(struct mu_transport *transport, int64_t deadline_ns)
{
    struct shm *shm = shm_of(transport);
    ask_all(shm);
    for (int rank = 0; rank < transport->count; rank++)
        while (!has_answered(shm, rank)) {
            int64_t now_ns = mu_now(shm->world);
            if (look_around(shm, now_ns) != MU_OK || now_ns >= deadline_ns)
                break;
            shm->world->ops->sleep_until(shm->world, now_ns + ASK_NS);
        }
    see_all(shm);
}

/* ---- life ---- */

static void shm_close(struct mu_transport *transport)
{
    struct shm *shm = shm_of(transport);
    if (shm->board) {
        atomic_store_explicit(&shm->board->gone, 1, memory_order_seq_cst);
        ring_all(shm);
    }
    mu_segments_close(shm->segments);
    mu_swap_free_kept(transport);
    free(shm->base.seen);
    free(shm->active);
    free(shm->peer);
    free(shm);
}

const struct mu_transport_ops mu_shm_ops = {
    .name = "shm",
    .doc = "rings of bytes in memory that the ranks of a host share",
    .send = shm_send,
    .receive = shm_receive,
    .wait = shm_wait,
    .poll = shm_poll,
    .reaches = shm_reaches,
    .abort = shm_abort,
    .look = shm_look,
    .survey = shm_survey,
    .close = shm_close,
};

static size_t ring_bytes(int count)
{
    size_t bytes = RING_BYTES_MAX;
    while (bytes > RING_BYTES_MIN && bytes * (size_t)count > RINGS_BYTES)
        bytes /= 2;
    return bytes;
}

static size_t ring_stride(int count)
{
    return sizeof(struct mu_shm_ring) + ring_bytes(count);
}

size_t mu_shm_segment_bytes(int count)
{
    return BOARD_BYTES + (size_t)count * ring_stride(count);
}

/* In the segment of rank `to`. */
static struct mu_shm_end ring_between(const struct mu_segments *segments, int from, int to)
{
    size_t offset = BOARD_BYTES + (size_t)from * ring_stride(segments->count);
    return (struct mu_shm_end){.ring = (void *)((char *)segments->at[to] + offset),
        .capacity = ring_bytes(segments->count)};
}

static void connect_all(struct shm *shm)
{
    const struct mu_segments *segments = shm->segments;
    int rank = segments->rank;
    shm->board = segments->at[rank];
    for (int r = 0; r < segments->count; r++) {
        struct mu_shm_peer *peer = &shm->peer[r];
        mu_shm_peer_init(peer);
        peer->seen = &shm->base.seen[r];
        if (r == rank || !segments->at[r])
            continue;
        peer->board = segments->at[r];
        peer->out = ring_between(segments, rank, r);
        peer->in = ring_between(segments, r, rank);
    }
    shm->spin_rounds = segments->crowded ? SPIN_ROUNDS_CROWDED : SPIN_ROUNDS;
}

enum mu_status mu_shm_open(struct mu_world *world, int rank, struct mu_segments *segments,
    struct mu_transport *messages, struct mu_transport **ret_transport)
{
    assert(rank == segments->rank && segments->bytes >= mu_shm_segment_bytes(segments->count));
    struct shm *shm = calloc(1, sizeof(*shm));
    if (!shm) {
        mu_segments_close(segments);
        return MU_NO_MEMORY;
    }
    size_t count = (size_t)segments->count;
    shm->base = (struct mu_transport){.ops = &mu_shm_ops, .rank = rank, .count = segments->count};
    shm->base.loop = messages ? messages->loop : NULL;
    shm->base.seen = calloc(count, sizeof(*shm->base.seen));
    shm->world = world;
    shm->segments = segments;
    shm->peer = calloc(count, sizeof(*shm->peer));
    shm->active = calloc(count, sizeof(struct mu_shm_peer *));
    if (!shm->base.seen || !shm->peer || !shm->active) {
        shm_close(&shm->base);
        return MU_NO_MEMORY;
    }
    connect_all(shm);
    *ret_transport = &shm->base;
    return MU_OK;
}
