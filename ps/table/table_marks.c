/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_marks.h"

static void forget_order(const struct mu_table_blocks *blocks)
{
    for (size_t k = 0; k < blocks->block_count; k++) {
        uint8_t *mark = (uint8_t *)blocks->block[k] + blocks->marks_at;
        for (uint32_t i = 0; i < blocks->rows_per_block; i++)
            mark[i] = mark[i] == MU_TABLE_NOT_USED || mark[i] == MU_TABLE_FREE ? mark[i] : 1;
    }
}

void mu_table_marks_begin_call(struct mu_table_marks *marks, const struct mu_table_blocks *blocks)
{
    if (marks->call == MU_TABLE_CALL_MAX) {
        forget_order(blocks);
        marks->call = 1;
    }
    marks->call++;
}

uint32_t mu_table_marks_victim(struct mu_table_marks *marks, const struct mu_table_blocks *blocks)
{
    for (;;) {
        uint32_t row = marks->hand < blocks->end ? marks->hand : 0;
        marks->hand = row + 1;
        uint8_t *mark = mu_table_blocks_mark(blocks, row);
        if (*mark == MU_TABLE_NOT_USED)
            return row;
        if (*mark != marks->call && *mark != MU_TABLE_FREE)
            *mark = MU_TABLE_NOT_USED;
    }
}
