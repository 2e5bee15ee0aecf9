/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_DIRECT_H
#define MU_COLLECTIVES_DIRECT_H

#include "collectives/shared_meet.h"
#include "runtime/device/reduce.h"

extern const struct mu_algorithm mu_direct;

/* ---- for direct*.c ---- */

/* One operation under way. `element`: bytes of one. */
struct mu_direct {
    struct mu_group *group;
    struct mu_shared *shared;
    const struct mu_request *request;
    const struct mu_reducer *reducer;
    size_t element;
    int rank, count;
    int64_t deadline_ns;
    int *ret_rank;
};

/*
 * Staged: in steps, each of which is one meeting: a rank puts what others need of its vector into
 * its slot, all meet, and each takes what it needs from the slots of the others.
 */
struct mu_direct_steps {
    /* How many, 1 or more; the same on all ranks. */
    size_t (*count)(const struct mu_direct *direct);
    void (*put)(const struct mu_direct *direct, size_t step);
    void (*take)(const struct mu_direct *direct, size_t step);
};
const struct mu_direct_steps *mu_direct_staged(const struct mu_direct *direct);

/* In place: where the vector lies that others need something of; 0: not in an arena, or too short
 * to be worth it. */
uint64_t mu_direct_in_place_where(const struct mu_direct *direct);
/* All ranks have shown where theirs lie. A meeting has to follow. */
void mu_direct_in_place(const struct mu_direct *direct);

/* Of this rank's vector. */
static inline size_t mu_direct_bytes(const struct mu_direct *direct)
{
    enum mu_request_kind kind = direct->request->kind;
    size_t parts = kind == MU_ALLTOALL ? (size_t)direct->count : kind != MU_BARRIER;
    return parts * direct->request->count * direct->element;
}

/* One meeting and copies take less than two meetings, which are the slower the more ranks there
 * are. */
#define MU_DIRECT_SHORT_BYTES 2048 /* for each rank but one */
static inline bool mu_direct_is_short(const struct mu_direct *direct)
{
    size_t bytes = mu_direct_bytes(direct);
    return bytes < MU_DIRECT_SHORT_BYTES * ((size_t)direct->count - 1) && bytes <= MU_SEGMENT_BYTES;
}

/* In place there is less to copy: two ranks, who meet soonest, win by that earlier. */
#define MU_DIRECT_PAIR_BYTES 1024
static inline bool mu_direct_is_short_in_place(const struct mu_direct *direct)
{
    bool is_pair = direct->count == 2 && mu_direct_bytes(direct) >= MU_DIRECT_PAIR_BYTES;
    return mu_direct_is_short(direct) && !is_pair;
}

static inline size_t mu_direct_pieces(size_t part_count, size_t piece_count)
{
    return (part_count + piece_count - 1) / piece_count;
}

/* Piece `index` of a part, `piece_count` elements each but the last; empty beyond its end. */
static inline struct mu_span mu_direct_piece(struct mu_span part, size_t piece_count, size_t index)
{
    if (index >= mu_direct_pieces(part.count, piece_count))
        return (struct mu_span){part.first, 0};
    size_t done = index * piece_count, left = part.count - done;
    return (struct mu_span){part.first + done, left < piece_count ? left : piece_count};
}

/* Elements `first` and on of a vector. */
static inline void *mu_direct_at(const struct mu_direct *direct, void *vector, size_t first)
{
    return (char *)vector + first * direct->element;
}

/* The rank after this one, around. */
static inline int mu_direct_next(const struct mu_direct *direct, int rank)
{
    return rank + 1 < direct->count ? rank + 1 : 0;
}

#endif
