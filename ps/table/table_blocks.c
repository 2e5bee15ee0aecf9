/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_blocks.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define BLOCK_BYTES (2 * HUGE_BYTES)
/* At least so many rows a block, or what is left at its end would be more than a few percent. */
#define BLOCK_ROWS_MIN 32

void mu_table_blocks_init(struct mu_table_blocks *blocks, size_t stride, bool marked)
{
    size_t record_bytes = sizeof(uint64_t) + stride * sizeof(float);
    size_t row_bytes = record_bytes + marked;
    size_t least = BLOCK_ROWS_MIN * row_bytes;
    size_t block_bytes = (least + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    if (block_bytes < BLOCK_BYTES)
        block_bytes = BLOCK_BYTES;
    uint32_t rows = (uint32_t)(block_bytes / row_bytes);
    *blocks = (struct mu_table_blocks){.record_bytes = record_bytes,
        .block_bytes = block_bytes,
        .marks_at = rows * record_bytes,
        .rows_per_block = rows,
        .rows_per_block_inverse = UINT64_MAX / rows + 1,
        .marked = marked,
        .next_free = MU_TABLE_NO_ROW};
}

void mu_table_blocks_finish(struct mu_table_blocks *blocks)
{
    for (size_t i = 0; i < blocks->block_count; i++)
        munmap(blocks->block[i], blocks->block_bytes);
    free(blocks->block);
    *blocks = (struct mu_table_blocks){0};
}

uint64_t mu_table_blocks_bytes(const struct mu_table_blocks *blocks)
{
    return blocks->block_count * blocks->block_bytes + blocks->block_max * sizeof(char *);
}

/* Zeroed memory that begins at a huge page, or NULL. */
static char *map_block(size_t bytes)
{
    char *memory =
        mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)memory % HUGE_BYTES, behind = HUGE_BYTES - before;
    if (before > 0)
        munmap(memory, before);
    if (behind > 0)
        munmap(memory + before + bytes, behind);
    return memory + before;
}

static enum mu_status grow_list(struct mu_table_blocks *blocks)
{
    if (blocks->block_count < blocks->block_max)
        return MU_OK;
    size_t block_max = blocks->block_max ? 2 * blocks->block_max : 16;
    char **block = realloc(blocks->block, block_max * sizeof(*block));
    if (!block)
        return MU_NO_MEMORY;
    blocks->block = block;
    blocks->block_max = block_max;
    return MU_OK;
}

static enum mu_status add_block(struct mu_table_blocks *blocks)
{
    MU_TRY(grow_list(blocks));
    char *memory = map_block(blocks->block_bytes);
    if (!memory)
        return MU_NO_MEMORY;
    /* A table that fits one block need not take whole huge pages. Advice may be refused. */
    if (blocks->block_count > 0)
        (void)madvise(memory, blocks->block_bytes, MADV_HUGEPAGE);
    blocks->block[blocks->block_count++] = memory;
    return MU_OK;
}

static enum mu_status take_at_end(struct mu_table_blocks *blocks, uint32_t *ret_row)
{
    if (blocks->end == MU_TABLE_ROWS_MAX)
        return MU_NO_MEMORY;
    if (blocks->end == (uint64_t)blocks->block_count * blocks->rows_per_block)
        MU_TRY(add_block(blocks));
    *ret_row = blocks->end++;
    return MU_OK;
}

enum mu_status mu_table_blocks_take(struct mu_table_blocks *blocks, uint64_t id, uint32_t *ret_row)
{
    uint32_t row = blocks->next_free;
    if (row == MU_TABLE_NO_ROW)
        MU_TRY(take_at_end(blocks, &row));
    else
        blocks->next_free = (uint32_t)mu_table_blocks_id(mu_table_blocks_record(blocks, row));
    memcpy(mu_table_blocks_record(blocks, row), &id, sizeof(id));
    *ret_row = row;
    return MU_OK;
}

void mu_table_blocks_give_back(struct mu_table_blocks *blocks, uint32_t row)
{
    if (!blocks->marked) {
        assert(row + 1 == blocks->end);
        blocks->end--;
        return;
    }
    uint64_t next = blocks->next_free;
    memcpy(mu_table_blocks_record(blocks, row), &next, sizeof(next));
    *mu_table_blocks_mark(blocks, row) = MU_TABLE_FREE;
    blocks->next_free = row;
}
