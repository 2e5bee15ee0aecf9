/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/ring_index.h"

struct mu_span mu_ring_chunk(size_t count, int ranks, int chunk)
{
    size_t each = count / (size_t)ranks, longer = count % (size_t)ranks, c = (size_t)chunk;
    return (struct mu_span){
        .first = c * each + (c < longer ? c : longer),
        .count = each + (c < longer),
    };
}

static int modulo(int value, int ranks)
{
    return (value % ranks + ranks) % ranks;
}

int mu_ring_reduce_sends(int rank, int ranks, int step)
{
    return modulo(rank - step, ranks);
}

int mu_ring_reduce_receives(int rank, int ranks, int step)
{
    return modulo(rank - step - 1, ranks);
}

int mu_ring_gather_sends(int rank, int ranks, int step)
{
    return modulo(rank + 1 - step, ranks);
}

int mu_ring_gather_receives(int rank, int ranks, int step)
{
    return modulo(rank - step, ranks);
}

size_t mu_ring_segments(size_t chunk_count, size_t segment)
{
    return (chunk_count + segment - 1) / segment;
}

struct mu_span mu_ring_segment(struct mu_span chunk, size_t segment, size_t index)
{
    size_t begin = index * segment, left = chunk.count - begin;
    return (struct mu_span){.first = chunk.first + begin, .count = left < segment ? left : segment};
}
