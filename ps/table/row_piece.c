/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_piece.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t record_bytes(const struct mu_row_piece *piece)
{
    return sizeof(uint64_t) + piece->stride * sizeof(float);
}

enum mu_status mu_row_piece_init(struct mu_row_piece *piece, size_t stride)
{
    *piece = (struct mu_row_piece){.stride = stride};
    if (stride == 0)
        return MU_OK;
    size_t rows = MU_ROW_PIECE_BYTES / record_bytes(piece);
    piece->row_max = rows > 0 ? rows : 1;
    piece->data = malloc(piece->row_max * record_bytes(piece));
    return piece->data ? MU_OK : MU_NO_MEMORY;
}

void mu_row_piece_finish(struct mu_row_piece *piece)
{
    free(piece->data);
    *piece = (struct mu_row_piece){0};
}

/* While rows are added they lie behind the room for all ids. */
static uint8_t *open_rows(const struct mu_row_piece *piece)
{
    return piece->data + piece->row_max * sizeof(uint64_t);
}

void mu_row_piece_add(struct mu_row_piece *piece, uint64_t id, const float *row)
{
    assert(piece->count < piece->row_max);
    size_t bytes = piece->stride * sizeof(*row);
    memcpy(piece->data + piece->count * sizeof(id), &id, sizeof(id));
    memcpy(open_rows(piece) + piece->count * bytes, row, bytes);
    piece->count++;
}

size_t mu_row_piece_close(struct mu_row_piece *piece)
{
    if (piece->count == 0)
        return 0;
    memmove(piece->data + piece->count * sizeof(uint64_t), open_rows(piece),
        piece->count * piece->stride * sizeof(float));
    return piece->count * record_bytes(piece);
}

size_t mu_row_piece_count(const struct mu_row_piece *piece, size_t bytes)
{
    size_t count = bytes / record_bytes(piece);
    return count * record_bytes(piece) == bytes && count <= piece->row_max ? count : SIZE_MAX;
}
