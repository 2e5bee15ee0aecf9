/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_ROW_RUNS_H
#define MU_ROLES_ROW_RUNS_H

#include "muster/optimizer.h"
#include "roles/checkpoint/row_part.h"
#include "runtime/base/store.h"

/*
 * Rows of an embedding table that come in no order, on their way through a scratch file into the
 * order of their ids, because memory may not hold them all (external merge sort, Knuth 1973):
 *
 *     rows as they come ---> a run in memory ---> sorted, at the end of the scratch file
 *     all runs at once  ---> merged, first the ids, then one vector after the other
 *
 * A run lies in the file as | ids | parameters | slot | slot ... |, so each merge reads what it
 * needs from the beginning to the end, and the disk is written and read in long stretches. In
 * memory are a run and what a merge has read ahead, however many rows there are. A row that comes
 * is `width` parameters and then `width` elements of each slot, as in ps/table/table.h.
 */
#define MU_ROW_RUN_BYTES ((size_t)32 << 20)   /* of a run in memory, its order besides */
#define MU_ROW_MERGE_BYTES ((size_t)32 << 20) /* read ahead, of all runs; or a page each */

/* Some rows in memory. */
struct mu_row_run {
    size_t stride, room, count;
    uint64_t *ids; /* (room) */
    float *rows;   /* (room, stride) */
};

/* For as many rows as `bytes` hold, one at least. NO_MEMORY. */
enum mu_status mu_row_run_init(struct mu_row_run *run, size_t stride, size_t bytes);
void mu_row_run_finish(struct mu_row_run *run); /* takes a zeroed one */
/* There is room for them. */
void mu_row_run_add(struct mu_row_run *run, const uint64_t *ids, const float *rows, size_t count);

/* All runs on the disk, of one thread. */
struct mu_row_runs {
    struct mu_store *store;
    size_t width;
    int slot_count;
    uint64_t count;                /* of rows */
    struct mu_store_open *scratch; /* NULL: there is no run */
    uint64_t bytes;                /* in it */
    struct mu_row_run_place {
        uint64_t at;
        size_t count;
    } * places; /* (run_count) */
    size_t run_count;
};

void mu_row_runs_init(
    struct mu_row_runs *runs, struct mu_store *store, size_t width, int slot_count);
/* Sorts the run and puts it at the end of the scratch file; then it is empty. CANNOT_CREATE,
 * IO_ERROR, NO_MEMORY: then they are only good to be cleared. */
enum mu_status mu_row_runs_append(
    struct mu_row_runs *runs, struct mu_log *log, struct mu_row_run *run);
/* There are none any more, and the disk has its room back. Takes a zeroed one. */
void mu_row_runs_clear(struct mu_row_runs *runs);

/* One tensor of all rows in the order of their ids, in parts as row_part.h says: the parameters
 * (`vector` 0), a slot (1 + i), or MU_ROW_RUNS_IDS. BROKEN (MU_E0701): an id is there twice.
 * IO_ERROR, NO_MEMORY, what `take` returns. */
#define MU_ROW_RUNS_IDS (-1)
enum mu_status mu_row_runs_merge(const struct mu_row_runs *runs, struct mu_log *log, int vector,
    mu_row_part_take *take, void *owner);

#endif
