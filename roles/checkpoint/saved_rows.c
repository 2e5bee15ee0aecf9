/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/saved_rows.h"
#include "runtime/base/crc32c.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void release(struct mu_saved_rows *rows)
{
    free(rows->ids);
    rows->ids = NULL;
    for (int i = 0; i <= MU_SLOTS_MAX; i++) {
        free(rows->vectors[i]);
        rows->vectors[i] = NULL;
    }
    rows->count = rows->room = 0;
}

void mu_saved_rows_finish(struct mu_saved_rows *rows)
{
    release(rows);
    *rows = (struct mu_saved_rows){0};
}

/* A table grows from one time to the next: an eighth more than needed, and what was there goes
 * first, so that at no time it is there twice. */
static enum mu_status make_room(struct mu_saved_rows *rows, size_t count)
{
    if (count <= rows->room)
        return MU_OK;
    release(rows);
    size_t room = count + count / 8;
    bool there = (rows->ids = calloc(room, sizeof(*rows->ids))) != NULL;
    for (int i = 0; i <= rows->slot_count && there; i++)
        there = (rows->vectors[i] = calloc(room, rows->width * sizeof(float))) != NULL;
    if (there)
        rows->room = room;
    else
        release(rows);
    return there ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_saved_rows_fill(struct mu_saved_rows *rows, const struct mu_row_reader *reader)
{
    size_t width = rows->width;
    assert(width > 0);
    assert(rows->slot_count <= MU_SLOTS_MAX);
    MU_TRY(make_room(rows, reader->count));
    for (size_t r = 0; r < reader->count; r++) {
        const float *row = reader->next(reader->owner, &rows->ids[r]);
        assert(r == 0 || rows->ids[r] > rows->ids[r - 1]);
        for (int i = 0; i <= rows->slot_count; i++)
            memcpy(rows->vectors[i] + r * width, row + (size_t)i * width, width * sizeof(float));
    }
    rows->count = reader->count;
    return MU_OK;
}

uint32_t mu_saved_rows_crc32c(const struct mu_saved_rows *rows, uint32_t crc)
{
    crc = mu_crc32c(crc, rows->ids, rows->count * sizeof(*rows->ids));
    return mu_crc32c(crc, rows->vectors[0], rows->count * rows->width * sizeof(float));
}
