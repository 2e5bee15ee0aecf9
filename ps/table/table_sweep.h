/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_SWEEP_H
#define MU_PS_TABLE_SWEEP_H

#include "ps/table/table_blocks.h"

/*
 * All rows of a table as they are at one moment, read piece by piece while the table goes on. The
 * sweep goes through the rows by their numbers; a row that is about to change or to leave before
 * the sweep has come to it is set aside first, and read from there (copy on write):
 *
 *     rows    | read | still to be read ...... | created since: not of the sweep
 *                          |  ^ marked: set aside, or not there at the beginning
 *                          v
 *     aside   a ring of records, which are read first
 *
 * The ring has a fixed size: whoever changes rows asks first whether there is room, and waits if
 * not. One thread.
 */
struct mu_table_sweep {
    const struct mu_table_blocks *blocks;
    uint32_t next, end; /* rows that are still to be read; equal: all have been */
    uint64_t *marked;   /* a bit for each row below end */
    char *aside;        /* (aside_max) records */
    size_t aside_max, aside_first, aside_count;
};

/* NO_MEMORY. `aside_max` rows can be set aside. The blocks are the table's, and stay. */
enum mu_status mu_table_sweep_init(
    struct mu_table_sweep *sweep, const struct mu_table_blocks *blocks, size_t aside_max);
void mu_table_sweep_finish(struct mu_table_sweep *sweep); /* takes a zeroed one */

/* The rows are those of now. The last sweep is over. NO_MEMORY: no sweep has begun. */
enum mu_status mu_table_sweep_begin(struct mu_table_sweep *sweep);
/* The next row, in any order; valid until the table changes. NULL: that was all. */
const float *mu_table_sweep_next(struct mu_table_sweep *sweep, uint64_t *ret_id);

void mu_table_sweep_drop(struct mu_table_sweep *sweep); /* over, whatever was still to be read */

static inline bool mu_table_sweep_over(const struct mu_table_sweep *sweep)
{
    return sweep->next == sweep->end && sweep->aside_count == 0;
}

/* So many rows may change now. */
static inline size_t mu_table_sweep_room(const struct mu_table_sweep *sweep)
{
    return sweep->next == sweep->end ? SIZE_MAX : sweep->aside_max - sweep->aside_count;
}

/* ---- the table's ---- */

void mu_table_sweep_set_aside(struct mu_table_sweep *sweep, uint32_t row);
void mu_table_sweep_pass_over(struct mu_table_sweep *sweep, uint32_t row);

static inline bool mu_table_sweep_awaits(const struct mu_table_sweep *sweep, uint32_t row)
{
    return sweep && row - sweep->next < sweep->end - sweep->next;
}

#endif
