/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_DENSE_H
#define MU_PS_TABLE_DENSE_H

#include "ps/split.h"
#include "ps/table/table_blocks.h"

/*
 * Where the rows of a table are that has all its ids from the beginning: no index, nothing to be
 * searched. Rows are numbered in the order of their ids. A server that keeps some of the ids alone
 * has a bit for each id that there is, and counts the bits before (rank, Jacobson 1989):
 *
 *     word     | bits: which of 64 ids are kept | before: rows of all lower ids |
 *     row      before + how many bits are set below that of the id
 *
 * Whoever keeps all ids, or a range of them, needs no words: a row's number is its id less the
 * first.
 */
struct mu_table_dense_word {
    uint64_t bits, before;
};

struct mu_table_dense {
    uint64_t id_count;        /* ids are below it; 0: the table is not dense */
    struct mu_id_range range; /* of the ids that can be kept */
    int order, server_count;
    struct mu_table_dense_word *word; /* (id_count / 64 + 1); NULL: all of the range are kept */
};

/* Of the ids below `id_count`, those that `split` gives server `order`: by a hash none of several
 * servers until they are marked. NO_MEMORY, or more rows than a table can have. */
enum mu_status mu_table_dense_init(
    struct mu_table_dense *dense, uint64_t id_count, int order, const struct mu_row_split *split);
/* Marks those of the 64 ids from `id`, a multiple of 64, that are kept here; lower ids are marked.
 * It takes a hash of each, so whoever lays the rows marks as it goes. */
void mu_table_dense_mark(struct mu_table_dense *dense, uint64_t id);
void mu_table_dense_finish(struct mu_table_dense *dense); /* takes a zeroed one */
uint64_t mu_table_dense_bytes(const struct mu_table_dense *dense);

/* MU_TABLE_NO_ROW: the id is not kept here. */
static inline uint32_t mu_table_dense_row(const struct mu_table_dense *dense, uint64_t id)
{
    uint64_t at = id - dense->range.first;
    if (at >= dense->range.count) /* below the first, too */
        return MU_TABLE_NO_ROW;
    if (!dense->word)
        return (uint32_t)at;
    const struct mu_table_dense_word *word = &dense->word[id / 64];
    uint64_t bit = UINT64_C(1) << id % 64;
    if (!(word->bits & bit))
        return MU_TABLE_NO_ROW;
    return (uint32_t)word->before + (uint32_t)__builtin_popcountll(word->bits & (bit - 1));
}

#endif
