/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_sweep.h"
#include "ps/table/table_marks.h"
#include <assert.h>
#include <stdlib.h>

#define WORD_BITS 64

enum mu_status mu_table_sweep_init(
    struct mu_table_sweep *sweep, const struct mu_table_blocks *blocks, size_t aside_max)
{
    *sweep = (struct mu_table_sweep){.blocks = blocks, .aside_max = aside_max};
    sweep->aside = calloc(aside_max, blocks->record_bytes);
    return sweep->aside ? MU_OK : MU_NO_MEMORY;
}

void mu_table_sweep_finish(struct mu_table_sweep *sweep)
{
    free(sweep->marked);
    free(sweep->aside);
    *sweep = (struct mu_table_sweep){0};
}

enum mu_status mu_table_sweep_begin(struct mu_table_sweep *sweep)
{
    assert(mu_table_sweep_over(sweep));
    uint32_t end = sweep->blocks->end;
    free(sweep->marked);
    sweep->marked = calloc(end / WORD_BITS + 1, sizeof(*sweep->marked));
    if (!sweep->marked)
        return MU_NO_MEMORY;
    sweep->next = 0;
    sweep->end = end;
    return MU_OK;
}

static bool is_marked(const struct mu_table_sweep *sweep, uint32_t row)
{
    return sweep->marked[row / WORD_BITS] >> row % WORD_BITS & 1;
}

static void mark(struct mu_table_sweep *sweep, uint32_t row)
{
    sweep->marked[row / WORD_BITS] |= UINT64_C(1) << row % WORD_BITS;
}

void mu_table_sweep_pass_over(struct mu_table_sweep *sweep, uint32_t row)
{
    if (mu_table_sweep_awaits(sweep, row))
        mark(sweep, row);
}

void mu_table_sweep_set_aside(struct mu_table_sweep *sweep, uint32_t row)
{
    size_t bytes = sweep->blocks->record_bytes;
    if (!mu_table_sweep_awaits(sweep, row) || is_marked(sweep, row))
        return;
    assert(sweep->aside_count < sweep->aside_max);
    size_t at = (sweep->aside_first + sweep->aside_count++) % sweep->aside_max;
    memcpy(sweep->aside + at * bytes, mu_table_blocks_record(sweep->blocks, row), bytes);
    mark(sweep, row);
}

void mu_table_sweep_drop(struct mu_table_sweep *sweep)
{
    sweep->next = sweep->end;
    sweep->aside_count = 0;
}

static char *next_aside(struct mu_table_sweep *sweep)
{
    char *record = sweep->aside + sweep->aside_first * sweep->blocks->record_bytes;
    sweep->aside_first = (sweep->aside_first + 1) % sweep->aside_max;
    sweep->aside_count--;
    return record;
}

static bool is_there(const struct mu_table_sweep *sweep, uint32_t row)
{
    const struct mu_table_blocks *blocks = sweep->blocks;
    return !is_marked(sweep, row) &&
           !(blocks->marked && *mu_table_blocks_mark(blocks, row) == MU_TABLE_FREE);
}

static char *next_record(struct mu_table_sweep *sweep)
{
    if (sweep->aside_count > 0)
        return next_aside(sweep);
    while (sweep->next < sweep->end) {
        uint32_t row = sweep->next++;
        if (is_there(sweep, row))
            return mu_table_blocks_record(sweep->blocks, row);
    }
    return NULL;
}

const float *mu_table_sweep_next(struct mu_table_sweep *sweep, uint64_t *ret_id)
{
    char *record = next_record(sweep);
    if (!record)
        return NULL;
    *ret_id = mu_table_blocks_id(record);
    return mu_table_blocks_floats(record);
}
