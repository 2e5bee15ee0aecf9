/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_ROW_PIECE_H
#define MU_PS_ROW_PIECE_H

#include "runtime/base/status.h"
#include <stddef.h>
#include <stdint.h>

/*
 * Some rows of an embedding table with their slots, as one payload: the state of a table travels
 * in such pieces.
 *
 *     | ids (count) | rows (count, stride): parameters, slots |
 */
#define MU_ROW_PIECE_BYTES ((size_t)1 << 20)

struct mu_row_piece {
    size_t stride, row_max, count;
    uint8_t *data; /* (row_max) ids, then rows */
};

/* NO_MEMORY. A stride of 0: the piece stays empty. */
enum mu_status mu_row_piece_init(struct mu_row_piece *piece, size_t stride);
void mu_row_piece_finish(struct mu_row_piece *piece); /* takes a zeroed one */

/* ---- sending: add until it is full, close, send, clear ---- */

void mu_row_piece_add(struct mu_row_piece *piece, uint64_t id, const float *row);
/* Makes it a payload of so many bytes. */
size_t mu_row_piece_close(struct mu_row_piece *piece);

/* ---- receiving: rows have come to data ---- */

/* How many rows have so many bytes; SIZE_MAX: no number of them, or too many. */
size_t mu_row_piece_count(const struct mu_row_piece *piece, size_t bytes);

static inline const uint64_t *mu_row_piece_ids(const struct mu_row_piece *piece)
{
    return (const uint64_t *)(const void *)piece->data;
}

static inline const float *mu_row_piece_rows(const struct mu_row_piece *piece)
{
    return (const float *)(const void *)(piece->data + piece->count * sizeof(uint64_t));
}

#endif
