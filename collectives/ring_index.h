/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_RING_INDEX_H
#define MU_COLLECTIVES_RING_INDEX_H

#include "muster/tensor.h"

/* The arithmetic of the ring, apart from its I/O. A vector of `count` elements is cut into one
 * chunk a rank; sizes differ by at most one, and chunks may be empty. */
struct mu_span mu_ring_chunk(size_t count, int ranks, int chunk);

/* Which chunk `rank` sends and receives at `step` (0 .. ranks-2) of the two halves. */
int mu_ring_reduce_sends(int rank, int ranks, int step);
int mu_ring_reduce_receives(int rank, int ranks, int step);
int mu_ring_gather_sends(int rank, int ranks, int step);
int mu_ring_gather_receives(int rank, int ranks, int step);

/* Segments of at most `segment` elements that a chunk travels in. */
size_t mu_ring_segments(size_t chunk_count, size_t segment);
struct mu_span mu_ring_segment(struct mu_span chunk, size_t segment, size_t index);

#endif
