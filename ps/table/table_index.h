/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_INDEX_H
#define MU_PS_TABLE_INDEX_H

#include "ps/table/table_blocks.h"

/*
 * From an id's hash to its row. The upper bits of the hash lead through a directory to a segment
 * (extendible hashing, Fagin et al. 1979), so that the index grows a segment at a time: no step
 * touches more than one segment, however many rows there are.
 *
 *     hash     | directory entry ... |  ... tag (32) |
 *     cell     | tag (32) | row + 1 (32) |             0: empty
 *     segment  cells in the order of their values, each at or behind tag * home_count / 2^32
 *
 * A segment is searched from the tag's home until a cell that is empty or larger (ordered linear
 * probing, Amble and Knuth 1974): an absent id costs no more than one that is there, at loads of
 * 3/4 to 7/8, and growing a segment copies its cells in order. A segment that is full splits in
 * two. A tag that fits is a candidate only: the caller compares the id, which is kept with the row.
 */
struct mu_table_segment {
    uint64_t *cell;
    size_t cell_count; /* the last one stays empty and ends every search */
    uint32_t home_count, rows;
    int depth; /* upper bits of the hash that all its rows share */
};

struct mu_table_index {
    uint64_t seed;
    struct mu_table_segment **directory; /* (1 << depth) */
    int depth;
    uint64_t rows, bytes, draws;
};

/* `seed` keeps others from choosing ids that collide. */
enum mu_status mu_table_index_init(struct mu_table_index *index, uint64_t seed);
void mu_table_index_finish(struct mu_table_index *index); /* takes a zeroed one */

uint64_t mu_table_index_hash(const struct mu_table_index *index, uint64_t id);
/* The row that has the id, or MU_TABLE_NO_ROW. */
uint32_t mu_table_index_find(const struct mu_table_index *index,
    const struct mu_table_blocks *blocks, uint64_t hash, uint64_t id);
/* Of an id that is not there. NO_MEMORY: what is there has not changed. */
enum mu_status mu_table_index_insert(struct mu_table_index *index,
    const struct mu_table_blocks *blocks, uint64_t hash, uint32_t row);
/* Of a row that is there. */
void mu_table_index_remove(struct mu_table_index *index, uint64_t hash, uint32_t row);

/* The upper `depth` bits. */
static inline size_t mu_table_index_place(uint64_t hash, int depth)
{
    return (size_t)(hash >> 1 >> (63 - depth));
}

static inline uint64_t *mu_table_index_home(const struct mu_table_segment *segment, uint64_t hash)
{
    return segment->cell + ((hash & UINT32_MAX) * segment->home_count >> 32);
}

/* The first cell that is empty or at least `value`, which is not 0. */
static inline uint64_t *mu_table_index_seek(
    const struct mu_table_segment *segment, uint64_t hash, uint64_t value)
{
    uint64_t *cell = mu_table_index_home(segment, hash);
    while (*cell - 1 < value - 1) /* an empty one becomes the largest number */
        cell++;
    return cell;
}

/* For many ids at once: prefetch for all, then for all the candidate, whose record comes into the
 * cache while the others are looked for. */
static inline void mu_table_index_prefetch(const struct mu_table_index *index, uint64_t hash)
{
    size_t place = mu_table_index_place(hash, index->depth);
    __builtin_prefetch(mu_table_index_home(index->directory[place], hash));
}

static inline uint32_t mu_table_index_candidate(const struct mu_table_index *index, uint64_t hash)
{
    size_t place = mu_table_index_place(hash, index->depth);
    uint64_t least = hash << 32 | 1;
    uint64_t cell = *mu_table_index_seek(index->directory[place], hash, least);
    return cell != 0 && cell >> 32 == least >> 32 ? (uint32_t)cell - 1 : MU_TABLE_NO_ROW;
}

#endif
