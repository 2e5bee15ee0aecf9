/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHM_RING_H
#define MU_COLLECTIVES_SHM_RING_H

#include "collectives/request.h"
#include <stdatomic.h>
#include <string.h>

/*
 * A ring of bytes in shared memory, from one rank to one other (Lamport 1977: one writes, one
 * reads, no lock). Messages lie in it one after the other, each a header and its bytes, rounded up
 * to a cache line, so that a header never wraps:
 *
 *     tail                            head
 *      |                               |
 *      [tag bytes signature|data data .][tag ... |data                ]
 *
 * Head and tail count bytes since the beginning, so that full and empty differ. A message that is
 * longer than the ring goes through it in pieces: the reader takes one while the next is written.
 */
#define MU_SHM_LINE_BYTES ((size_t)64)
#define MU_SHM_APART_BYTES 128 /* two lines: neighbours are fetched in pairs */

struct mu_shm_ring {
    _Alignas(MU_SHM_APART_BYTES) _Atomic uint64_t head; /* of the writer */
    _Alignas(MU_SHM_APART_BYTES) _Atomic uint64_t tail; /* of the reader */
    _Atomic uint32_t refused;                           /* by the reader: it takes no more */
    _Alignas(MU_SHM_APART_BYTES) uint8_t data[];
};

struct mu_shm_head {
    uint64_t tag, bytes;
    struct mu_signature signature; /* sequence 0: none */
};
static_assert(sizeof(struct mu_shm_head) < MU_SHM_LINE_BYTES, "the shortest message is one line");

/* One end, in the memory of its owner: where it is and how far it has last seen the other. */
struct mu_shm_end {
    struct mu_shm_ring *ring;
    size_t capacity; /* a power of two */
    uint64_t at;     /* what we have published */
    uint64_t other;
};

/* What may be written now, up to the end of a line, so that the last line of a message has room
 * too; looks at the other end only where that is less than `wanted`. */
static inline size_t mu_shm_room(struct mu_shm_end *end, size_t wanted)
{
    const uint64_t lines = ~(uint64_t)(MU_SHM_LINE_BYTES - 1);
    if (((end->other + end->capacity) & lines) - end->at < wanted)
        end->other = atomic_load_explicit(&end->ring->tail, memory_order_seq_cst);
    return (size_t)(((end->other + end->capacity) & lines) - end->at);
}

/* What may be read now, likewise. */
static inline size_t mu_shm_filled(struct mu_shm_end *end, size_t wanted)
{
    if (end->other - end->at < wanted)
        end->other = atomic_load_explicit(&end->ring->head, memory_order_seq_cst);
    return (size_t)(end->other - end->at);
}

/* Copies without publishing; `at` counts as head and tail do. */
static inline void mu_shm_copy_in(
    const struct mu_shm_end *end, uint64_t at, const void *from, size_t bytes)
{
    size_t offset = (size_t)at & (end->capacity - 1);
    size_t first = bytes < end->capacity - offset ? bytes : end->capacity - offset;
    memcpy(end->ring->data + offset, from, first);
    memcpy(end->ring->data, (const uint8_t *)from + first, bytes - first);
}

static inline void mu_shm_copy_out(
    const struct mu_shm_end *end, uint64_t at, void *to, size_t bytes)
{
    size_t offset = (size_t)at & (end->capacity - 1);
    size_t first = bytes < end->capacity - offset ? bytes : end->capacity - offset;
    memcpy(to, end->ring->data + offset, first);
    memcpy((uint8_t *)to + first, end->ring->data, bytes - first);
}

static inline uint64_t mu_shm_line_end(uint64_t at)
{
    return (at + MU_SHM_LINE_BYTES - 1) & ~(uint64_t)(MU_SHM_LINE_BYTES - 1);
}

/* In the one order of all that sleepers and wakers see: mu_shm_board_ring. */
static inline void mu_shm_publish_head(struct mu_shm_end *end, uint64_t at)
{
    end->at = at;
    atomic_store_explicit(&end->ring->head, at, memory_order_seq_cst);
}

static inline void mu_shm_publish_tail(struct mu_shm_end *end, uint64_t at)
{
    end->at = at;
    atomic_store_explicit(&end->ring->tail, at, memory_order_seq_cst);
}

#endif
