/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_TABLE_H
#define MU_PS_TABLE_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An embedding table: rows by id, created at first touch. A row is `width` parameters followed by
 * `width` elements of each slot of the optimizer (as struct mu_optim_rows has them), so that what
 * an update needs lies together; a policy's own may follow, `width` elements that count as no part
 * of the row wherever one is saved, sent or compared. Ids are any 64-bit numbers; an
 * open-addressing index leads to rows in large blocks. A dense table has the rows of all ids below
 * a number instead, before anything else is asked of it (mu_table_lay), and finds them without an
 * index (table_dense.h). One thread.
 */
struct mu_table;

struct mu_table_options {
    size_t width;
    int slot_count;
    bool has_own;       /* rows have `width` elements behind the slots that are a policy's own */
    size_t row_limit;   /* rows not used for long leave (table_marks.h); 0: memory is the limit */
    uint64_t dense_ids; /* ids are below it, and all are there; 0: created at first touch */
    int order, server_count; /* of dense_ids, those of this server; server_count 0: all */
    bool by_range;           /* these are a range of them (ps/split.h) */
    uint64_t seed;
    /* A new row's parameters; slots, and a policy's own, begin as zeros. Pure. NULL: zeros. */
    void (*init_row)(
        const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters);
    const void *owner;
};

struct mu_table_counts {
    uint64_t rows, created, evicted;
    uint64_t bytes; /* of memory, the index included */
};

enum mu_status mu_table_create(
    const struct mu_table_options *options, struct mu_table **ret_table); /* NO_MEMORY */
void mu_table_destroy(struct mu_table *table);                            /* takes NULL */

/* Begins up to `rows_max` more rows of a dense table. True: all are there, as always in a table
 * that is not dense. NO_MEMORY. */
enum mu_status mu_table_lay(struct mu_table *table, size_t rows_max, bool *ret_all);
/* Is there a row for this id, or could there be? */
bool mu_table_takes(const struct mu_table *table, uint64_t id);
/* About the bytes that so many rows will take; `stride` with what is a policy's own. */
uint64_t mu_table_bytes_of(uint64_t rows, size_t stride, bool dense);

/* The rows of `count` different ids that it takes, created where they are not there; valid until
 * the next call.
 * `count` must be at most row_limit, where there is one. NO_MEMORY: nothing has been created. */
enum mu_status mu_table_rows(
    struct mu_table *table, const uint64_t *ids, size_t count, float **ret_row);
/* The same for reading alone, as in an evaluation: nothing is created or counted as used; what is
 * not there is NULL. */
void mu_table_look(
    const struct mu_table *table, const uint64_t *ids, size_t count, const float **ret_row);
/* What a row that is not there would begin as. */
void mu_table_fresh_row(const struct mu_table *table, uint64_t id, float *ret_parameters);

/* From now on `sweep` can be begun: it reads the rows as they were then (ps/table/table_sweep.h). A
 * call for `count` rows needs as much room in it. Once; finish it after the table. NO_MEMORY. */
struct mu_table_sweep;
enum mu_status mu_table_follow(
    struct mu_table *table, struct mu_table_sweep *sweep, size_t aside_max);

struct mu_table_counts mu_table_count(const struct mu_table *table);
/* Floats of a row: width * (1 + slots). What is a policy's own lies behind them. */
size_t mu_table_stride(const struct mu_table *table);
size_t mu_table_width(const struct mu_table *table);
size_t mu_table_record_bytes(const struct mu_table *table); /* of one row with its id, and all */

/* All rows, in the order of their creation as long as none has left: the next one after `*place` (0
 * at first); NULL at the end. No row may be created or leave in between. By id:
 * ps/table/table_save.h. */
/* Look, and where each row was found; and rows of ids that were looked for before: what still is
 * where it was found is not searched for again. `where` (count) may be anything, or NULL. */
void mu_table_look_where(const struct mu_table *table, const uint64_t *ids, size_t count,
    const float **ret_row, uint32_t *ret_where);
enum mu_status mu_table_rows_where(struct mu_table *table, const uint64_t *ids,
    const uint32_t *where, size_t count, float **ret_row);

const float *mu_table_next(const struct mu_table *table, size_t *place, uint64_t *ret_id);

#endif
