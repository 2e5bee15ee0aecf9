/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SAVED_ROWS_H
#define MU_ROLES_SAVED_ROWS_H

#include "muster/optimizer.h"
#include "runtime/base/status.h"
#include <stddef.h>
#include <stdint.h>

/*
 * The rows of an embedding table outside of any table: vectors in the order of the ids, as a
 * checkpoint has them, so that equal tables give equal bytes. A row that passes in or out is
 * `width` parameters and then `width` elements of each slot of the optimizer, as in
 * ps/table/table.h.
 */
struct mu_saved_rows {
    size_t width;
    int slot_count;
    size_t count, room;               /* rows; rows that the memory is for */
    uint64_t *ids;                    /* (count), strictly increasing */
    float *vectors[1 + MU_SLOTS_MAX]; /* (count, width) each: the parameters, the slots */
};

/* Where rows come from. What can fail has been done before. */
struct mu_row_reader {
    size_t count;
    /* The next of `count` rows, with increasing ids; the row is valid until the next call. */
    const float *(*next)(void *owner, uint64_t *ret_id);
    void *owner;
};

/* Where rows go to: a table here, or servers. */
struct mu_row_writer {
    /* NO_MEMORY, of which nothing has been said; what else can happen has been. */
    enum mu_status (*put)(void *owner, uint64_t id, const float *row);
    void *owner;
};

/* All rows of the reader instead of those that were there; memory is kept for the next time.
 * NO_MEMORY: then there are none. */
enum mu_status mu_saved_rows_fill(struct mu_saved_rows *rows, const struct mu_row_reader *reader);
/* Goes on from `crc` over all ids and then over the parameters of all rows; slots are left out. */
uint32_t mu_saved_rows_crc32c(const struct mu_saved_rows *rows, uint32_t crc);
void mu_saved_rows_finish(struct mu_saved_rows *rows); /* takes a zeroed one */

#endif
