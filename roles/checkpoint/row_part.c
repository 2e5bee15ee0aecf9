/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/row_part.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum mu_status mu_row_part_init(
    struct mu_row_part *part, size_t piece_max, mu_row_part_take *take, void *owner)
{
    size_t room = piece_max > MU_ROW_PART_BYTES ? piece_max : MU_ROW_PART_BYTES;
    *part = (struct mu_row_part){.take = take, .owner = owner, .data = malloc(room), .room = room};
    return part->data ? MU_OK : MU_NO_MEMORY;
}

void mu_row_part_finish(struct mu_row_part *part)
{
    free(part->data);
    *part = (struct mu_row_part){0};
}

enum mu_status mu_row_part_flush(struct mu_row_part *part)
{
    size_t bytes = part->filled;
    part->filled = 0;
    return bytes > 0 ? part->take(part->owner, part->data, bytes) : MU_OK;
}

enum mu_status mu_row_part_add(struct mu_row_part *part, const void *data, size_t bytes)
{
    assert(bytes <= part->room);
    if (bytes > part->room - part->filled)
        MU_TRY(mu_row_part_flush(part));
    memcpy(part->data + part->filled, data, bytes);
    part->filled += bytes;
    return MU_OK;
}
