/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_RING_INDEX_H
#define MU_COLLECTIVES_RING_INDEX_H

#include "collectives/request.h"

/* The arithmetic of the ring, apart from its I/O. A vector of `count` elements is cut into one
 * chunk a rank; sizes differ by at most one, and chunks may be empty. */
struct mu_span mu_ring_chunk(size_t count, int ranks, int chunk);

/*
 * Once around or twice: at step s each rank sends chunk `first` - s to its right and receives the
 * one before it from its left, so that a chunk that was received at one step is sent at the next.
 * In the first steps what comes is added, in the others stored.
 *
 * A long vector goes in `rounds`, one after the other without a pause: round r takes part r of
 * every chunk, so that what comes is still in the cache when it is passed on. Every element is
 * summed in the same order as in one round. Steps are numbered on from round to round.
 */
struct mu_ring_plan {
    int ranks;
    int first;               /* the chunk that this rank sends first */
    int steps, adding_steps; /* of a round */
    int rounds;
};
#define MU_RING_ROUNDS_MAX (1 << 20)

/* `canonical`: chunk c is summed in the order c, c+1, ... (see algorithm.h), which takes a
 * reduce-scatter one step more: the sum ends at rank c-1. */
struct mu_ring_plan mu_ring_plan(enum mu_request_kind kind, bool canonical, int ranks, int rank);
/* Of `count` elements in all, `round` of them at a time. */
int mu_ring_rounds(size_t count, size_t round);
/* Chunks. */
int mu_ring_sends(const struct mu_ring_plan *plan, int step);
int mu_ring_receives(const struct mu_ring_plan *plan, int step);
bool mu_ring_adds(const struct mu_ring_plan *plan, int step);
/* What of a chunk goes at that step. */
struct mu_span mu_ring_part(const struct mu_ring_plan *plan, struct mu_span chunk, int step);

#endif
