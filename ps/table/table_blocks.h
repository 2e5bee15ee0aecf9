/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_BLOCKS_H
#define MU_PS_TABLE_BLOCKS_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The memory of a table's rows: large blocks that never move, in huge pages where the machine has
 * them. A row is known by its number and kept as its id with its floats behind it, so that the
 * look that verifies the id has brought the first of the floats into the cache.
 *
 *     block    | id floats... | id floats... | ... | marks: a byte for each row, if it is marked
 */
#define MU_TABLE_ROWS_MAX (UINT32_MAX - 1)
#define MU_TABLE_NO_ROW UINT32_MAX
#define MU_TABLE_FREE 255 /* the mark of a row that holds nothing */

struct mu_table_blocks {
    size_t record_bytes, block_bytes, marks_at;
    uint32_t rows_per_block;
    uint64_t rows_per_block_inverse; /* 2^64 / rows_per_block, rounded up */
    bool marked;
    char **block;
    size_t block_count, block_max;
    uint32_t end;       /* rows from here on were never in use, or are no more */
    uint32_t next_free; /* a list through the records; MU_TABLE_NO_ROW ends it */
};

void mu_table_blocks_init(struct mu_table_blocks *blocks, size_t stride, bool marked);
void mu_table_blocks_finish(struct mu_table_blocks *blocks);
uint64_t mu_table_blocks_bytes(const struct mu_table_blocks *blocks);

/* A row for `id`, whose floats are whatever they are. NO_MEMORY: nothing has changed. */
enum mu_status mu_table_blocks_take(struct mu_table_blocks *blocks, uint64_t id, uint32_t *ret_row);
/* Only the last one taken, or any where rows are marked. */
void mu_table_blocks_give_back(struct mu_table_blocks *blocks, uint32_t row);

__extension__ typedef unsigned __int128 mu_table_product;

/* row / rows_per_block without a division (Lemire, Kaser, Kurz 2019). */
static inline size_t mu_table_blocks_index(const struct mu_table_blocks *blocks, uint32_t row)
{
    return (size_t)(((mu_table_product)blocks->rows_per_block_inverse * row) >> 64);
}

static inline char *mu_table_blocks_record(const struct mu_table_blocks *blocks, uint32_t row)
{
    size_t index = mu_table_blocks_index(blocks, row);
    size_t at = row - index * blocks->rows_per_block;
    return blocks->block[index] + at * blocks->record_bytes;
}

static inline uint8_t *mu_table_blocks_mark(const struct mu_table_blocks *blocks, uint32_t row)
{
    size_t index = mu_table_blocks_index(blocks, row);
    size_t at = row - index * blocks->rows_per_block;
    return (uint8_t *)blocks->block[index] + blocks->marks_at + at;
}

/* Records are aligned for floats alone. */
static inline uint64_t mu_table_blocks_id(const char *record)
{
    uint64_t id;
    memcpy(&id, record, sizeof(id));
    return id;
}

static inline float *mu_table_blocks_floats(char *record)
{
    return (float *)(void *)(record + sizeof(uint64_t));
}

#endif
