/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_MARKS_H
#define MU_PS_TABLE_MARKS_H

#include "ps/table/table_blocks.h"

/*
 * Which row leaves a table that is full: the second chance algorithm (CLOCK, Corbato 1968), which
 * comes close to the least recently used one. A hand goes round the rows; one that was used since
 * the hand was there last stays for this round, the first one that was not leaves. To be created is
 * no use: rows that are seen once would else push out those that are seen again and again.
 *
 * A row's mark is the call that used it last, counted from 1 to MU_TABLE_CALL_MAX and then from 2
 * again with all older ones marked 1, so that a row of this call is known; or one of those below.
 */
#define MU_TABLE_NOT_USED 0 /* since the hand was there, or since it was created */
#define MU_TABLE_CALL_MAX 254
static_assert(MU_TABLE_CALL_MAX < MU_TABLE_FREE, "a free row is no row of a call");

struct mu_table_marks {
    uint8_t call;
    uint32_t hand;
};

void mu_table_marks_begin_call(struct mu_table_marks *marks, const struct mu_table_blocks *blocks);
/* The row that is to leave: not one of this call. There must be another. */
uint32_t mu_table_marks_victim(struct mu_table_marks *marks, const struct mu_table_blocks *blocks);

#endif
