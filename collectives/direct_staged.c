/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/direct.h"
#include <string.h>

/*
 * Vectors that lie elsewhere go through the slots. A slot holds one lane for each rank, or is one
 * lane for all. Step s moves piece s of every part, a lane full.
 *
 * What is put at step s is taken after the meeting of step s; a slot is used again two meetings
 * later, when all have taken it.
 */

/* ---- pieces and lanes ---- */

static size_t lane_bytes(const struct mu_direct *direct)
{
    return MU_SEGMENT_BYTES / (size_t)direct->count & ~(size_t)63;
}

static size_t lane_count(const struct mu_direct *direct)
{
    return lane_bytes(direct) / direct->element;
}

static size_t slot_count(const struct mu_direct *direct)
{
    return MU_SEGMENT_BYTES / direct->element;
}

static struct mu_span part_of(const struct mu_direct *direct, int rank)
{
    return mu_request_part(direct->request, direct->count, rank);
}

static size_t longest_part(const struct mu_direct *direct)
{
    size_t longest = 0;
    for (int rank = 0; rank < direct->count; rank++) {
        size_t count = part_of(direct, rank).count;
        longest = count > longest ? count : longest;
    }
    return longest;
}

/* All take part in one meeting at least: nobody leaves before all have come. */
static size_t at_least_one(size_t steps)
{
    return steps ? steps : 1;
}

/* Lane `lane` of what rank `rank` has shown. */
static void *shown(const struct mu_direct *direct, int rank, int lane)
{
    return mu_shared_meet_shown(direct->shared, rank)->bytes + (size_t)lane * lane_bytes(direct);
}

/* Lane `lane` of what we will show. */
static void *own(const struct mu_direct *direct, int lane)
{
    return mu_shared_meet_own(direct->shared)->bytes + (size_t)lane * lane_bytes(direct);
}

static void copy(const struct mu_direct *direct, void *to, const void *from, size_t count)
{
    if (count)
        memcpy(to, from, count * direct->element);
}

static void *data_at(const struct mu_direct *direct, size_t first)
{
    return mu_direct_at(direct, direct->request->data, first);
}

/* ---- a short all-reduce: everybody adds everything ---- */

static bool is_small(const struct mu_direct *direct)
{
    return direct->request->count * direct->element <= MU_SHARED_SMALL_BYTES;
}

static size_t one_step(const struct mu_direct *direct)
{
    (void)direct;
    return 1;
}

static void short_put(const struct mu_direct *direct, size_t step)
{
    (void)step;
    struct mu_shared_slot *slot = mu_shared_meet_own(direct->shared);
    copy(direct, is_small(direct) ? slot->small : slot->bytes, direct->request->data,
        direct->request->count);
}

static const void *short_source(const struct mu_direct *direct, int rank, size_t first)
{
    if (rank == direct->rank)
        return data_at(direct, first);
    const struct mu_shared_slot *slot = mu_shared_meet_shown(direct->shared, rank);
    const unsigned char *bytes = is_small(direct) ? slot->small : slot->bytes;
    return bytes + first * direct->element;
}

/* Each part in its own order. */
static void short_take(const struct mu_direct *direct, size_t step)
{
    (void)step;
    const void **from = direct->shared->from;
    for (int part_rank = 0; part_rank < direct->count; part_rank++) {
        struct mu_span part = part_of(direct, part_rank);
        int rank = part_rank;
        if (part.count == 0)
            break;
        for (int i = 0; i < direct->count; i++) {
            from[i] = short_source(direct, rank, part.first);
            rank = mu_direct_next(direct, rank);
        }
        direct->reducer->many(data_at(direct, part.first), from, direct->count, part.count);
    }
}

/* ---- reduce-scatter ---- */

static size_t scatter_steps(const struct mu_direct *direct)
{
    return at_least_one(mu_direct_pieces(longest_part(direct), lane_count(direct)));
}

/* Lane r: for rank r, which reduces it. */
static void scatter_put(const struct mu_direct *direct, size_t step)
{
    for (int rank = mu_direct_next(direct, direct->rank); rank != direct->rank;
         rank = mu_direct_next(direct, rank)) {
        struct mu_span piece = mu_direct_piece(part_of(direct, rank), lane_count(direct), step);
        copy(direct, own(direct, rank), data_at(direct, piece.first), piece.count);
    }
}

static void scatter_take(const struct mu_direct *direct, size_t step)
{
    struct mu_span piece = mu_direct_piece(part_of(direct, direct->rank), lane_count(direct), step);
    const void **from = direct->shared->from;
    int rank = direct->rank;
    if (piece.count == 0)
        return;
    from[0] = data_at(direct, piece.first);
    for (int i = 1; i < direct->count; i++) {
        rank = mu_direct_next(direct, rank);
        from[i] = shown(direct, rank, direct->rank);
    }
    direct->reducer->many(data_at(direct, piece.first), from, direct->count, piece.count);
}

/*
 * ---- all-reduce ----
 *
 * As in place, in lanes: after the meeting of step s each rank adds piece s of its part into the
 * lanes that it came from; after the next they are taken from there, and piece s + 2 is put. A line
 * that two processors write by turns moves once a turn; results in lanes of their own would move
 * twice as much.
 *
 * Vectors longer than the cache come from memory meanwhile: they are asked for some lines ahead,
 * and a lane's result leaves it line by line as the next piece comes, so that the two waits, for
 * memory and for the other processor, pass at the same time. Measured at 64 and 256 MiB: a tenth.
 */
#define LINE_BYTES 64
#define AHEAD_LINES 16
#define AHEAD_BYTES ((size_t)2 << 20) /* shorter vectors are found in the cache */

static size_t long_steps(const struct mu_direct *direct)
{
    return scatter_steps(direct) + 1;
}

static void ask_for(const char *from, size_t lines)
{
    for (size_t line = 0; line < lines; line++)
        __builtin_prefetch(from + line * LINE_BYTES);
}

/* Vectors of shared->to and ->from, the first of which is this rank's own. */
static void add_ahead(const struct mu_direct *direct, size_t count)
{
    const void **from = direct->shared->from;
    void **to = direct->shared->to;
    bool is_far = mu_direct_bytes(direct) >= AHEAD_BYTES;
    size_t some = is_far ? AHEAD_LINES * LINE_BYTES / direct->element : count;
    for (size_t left = count; left > 0; left -= some) {
        some = left < some ? left : some;
        if (is_far && left >= 2 * some)
            ask_for((const char *)from[0] + some * direct->element, AHEAD_LINES);
        direct->reducer->many_to_many(to, from, direct->count, some);
        for (int i = 0; i < direct->count; i++)
            from[i] = to[i] = mu_direct_at(direct, to[i], some);
    }
}

static void add_into_lanes(const struct mu_direct *direct, size_t step)
{
    struct mu_span piece = mu_direct_piece(part_of(direct, direct->rank), lane_count(direct), step);
    const void **from = direct->shared->from;
    void **to = direct->shared->to;
    int rank = direct->rank;
    from[0] = to[0] = data_at(direct, piece.first);
    for (int i = 1; i < direct->count; i++) {
        rank = mu_direct_next(direct, rank);
        from[i] = to[i] = shown(direct, rank, direct->rank);
    }
    add_ahead(direct, piece.count);
}

/* `ret_old` = what is in the lane, the lane = `next`; whole lines. */
static void exchange_lines(char *lane, char *ret_old, const char *next, size_t lines)
{
    char line[LINE_BYTES];
    for (size_t at = 0; at < lines * LINE_BYTES; at += LINE_BYTES) {
        if (at + AHEAD_LINES * LINE_BYTES < lines * LINE_BYTES)
            __builtin_prefetch(next + at + AHEAD_LINES * LINE_BYTES);
        memcpy(line, lane + at, LINE_BYTES);
        memcpy(lane + at, next + at, LINE_BYTES);
        memcpy(ret_old + at, line, LINE_BYTES);
    }
}

/* Of one lane: takes the result `done`, puts the piece `next`, which is not longer. */
static void exchange(
    const struct mu_direct *direct, char *lane, struct mu_span done, struct mu_span next)
{
    size_t lines = next.count < done.count ? next.count : done.count;
    lines = lines * direct->element / LINE_BYTES;
    size_t bytes = lines * LINE_BYTES, count = bytes / direct->element;
    exchange_lines(lane, data_at(direct, done.first), data_at(direct, next.first), lines);
    copy(direct, data_at(direct, done.first + count), lane + bytes, done.count - count);
    copy(direct, lane + bytes, data_at(direct, next.first + count), next.count - count);
}

static void long_put(const struct mu_direct *direct, size_t step)
{
    if (step > 0)
        add_into_lanes(direct, step - 1);
    for (int rank = mu_direct_next(direct, direct->rank); rank != direct->rank;
         rank = mu_direct_next(direct, rank)) {
        struct mu_span part = part_of(direct, rank), done = {0, 0};
        if (step >= 2)
            done = mu_direct_piece(part, lane_count(direct), step - 2);
        exchange(direct, own(direct, rank), done, mu_direct_piece(part, lane_count(direct), step));
    }
}

/* What the last meeting was for: the others have put nothing after it. */
static void long_take(const struct mu_direct *direct, size_t step)
{
    if (step + 1 < long_steps(direct))
        return;
    for (int rank = mu_direct_next(direct, direct->rank); rank != direct->rank;
         rank = mu_direct_next(direct, rank)) {
        struct mu_span piece = mu_direct_piece(part_of(direct, rank), lane_count(direct), step - 1);
        copy(direct, data_at(direct, piece.first), own(direct, rank), piece.count);
    }
}

/* ---- all-gather ---- */

static size_t gather_steps(const struct mu_direct *direct)
{
    return at_least_one(mu_direct_pieces(longest_part(direct), slot_count(direct)));
}

static void gather_put(const struct mu_direct *direct, size_t step)
{
    struct mu_span piece = mu_direct_piece(part_of(direct, direct->rank), slot_count(direct), step);
    copy(direct, own(direct, 0), data_at(direct, piece.first), piece.count);
}

static void gather_take(const struct mu_direct *direct, size_t step)
{
    for (int rank = mu_direct_next(direct, direct->rank); rank != direct->rank;
         rank = mu_direct_next(direct, rank)) {
        struct mu_span piece = mu_direct_piece(part_of(direct, rank), slot_count(direct), step);
        copy(direct, data_at(direct, piece.first), shown(direct, rank, 0), piece.count);
    }
}

/* ---- broadcast ---- */

static struct mu_span broadcast_piece(const struct mu_direct *direct, size_t step)
{
    return mu_direct_piece((struct mu_span){0, direct->request->count}, slot_count(direct), step);
}

static size_t broadcast_steps(const struct mu_direct *direct)
{
    return at_least_one(mu_direct_pieces(direct->request->count, slot_count(direct)));
}

static void broadcast_put(const struct mu_direct *direct, size_t step)
{
    struct mu_span piece = broadcast_piece(direct, step);
    if (direct->rank == direct->request->root)
        copy(direct, own(direct, 0), data_at(direct, piece.first), piece.count);
}

static void broadcast_take(const struct mu_direct *direct, size_t step)
{
    struct mu_span piece = broadcast_piece(direct, step);
    int root = direct->request->root;
    if (direct->rank != root)
        copy(direct, data_at(direct, piece.first), shown(direct, root, 0), piece.count);
}

/* ---- all-to-all ---- */

static struct mu_span alltoall_piece(const struct mu_direct *direct, int rank, size_t step)
{
    size_t count = direct->request->count;
    return mu_direct_piece((struct mu_span){(size_t)rank * count, count}, lane_count(direct), step);
}

static size_t alltoall_steps(const struct mu_direct *direct)
{
    return at_least_one(mu_direct_pieces(direct->request->count, lane_count(direct)));
}

/* Lane r: for rank r. Our own goes the same way, so that `from` and `data` may be one vector. */
static void alltoall_put(const struct mu_direct *direct, size_t step)
{
    const char *from = direct->request->from;
    for (int rank = 0; rank < direct->count; rank++) {
        struct mu_span piece = alltoall_piece(direct, rank, step);
        copy(direct, own(direct, rank), from + piece.first * direct->element, piece.count);
    }
}

static void alltoall_take(const struct mu_direct *direct, size_t step)
{
    for (int i = 0, rank = direct->rank; i < direct->count; i++) {
        struct mu_span piece = alltoall_piece(direct, rank, step);
        copy(direct, data_at(direct, piece.first), shown(direct, rank, direct->rank), piece.count);
        rank = mu_direct_next(direct, rank);
    }
}

/* ---- barrier ---- */

static void nothing(const struct mu_direct *direct, size_t step)
{
    (void)direct;
    (void)step;
}

const struct mu_direct_steps *mu_direct_staged(const struct mu_direct *direct)
{
    static const struct mu_direct_steps by_kind[MU_REQUEST_KIND_COUNT] = {
        [MU_ALLREDUCE] = {long_steps, long_put, long_take},
        [MU_REDUCE_SCATTER] = {scatter_steps, scatter_put, scatter_take},
        [MU_ALLGATHER] = {gather_steps, gather_put, gather_take},
        [MU_BROADCAST] = {broadcast_steps, broadcast_put, broadcast_take},
        [MU_ALLTOALL] = {alltoall_steps, alltoall_put, alltoall_take},
        [MU_BARRIER] = {one_step, nothing, nothing},
    };
    static const struct mu_direct_steps short_allreduce = {one_step, short_put, short_take};
    if (direct->request->kind == MU_ALLREDUCE && mu_direct_is_short(direct))
        return &short_allreduce;
    return &by_kind[direct->request->kind];
}
