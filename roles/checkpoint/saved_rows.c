/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/saved_rows.h"
#include "ps/table/table_save.h"
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
    rows->unsorted = false;
    return MU_OK;
}

/* ---- rows that come in pieces ---- */

void mu_saved_rows_clear(struct mu_saved_rows *rows)
{
    rows->count = 0;
    rows->unsorted = false;
}

/* The memory as it is, and *there false, if there is no more. */
static void *grown(void *memory, size_t bytes, bool *there)
{
    void *more = *there ? realloc(memory, bytes) : NULL;
    *there = more != NULL;
    return more ? more : memory;
}

/* How many will come is not known: an eighth more than there was, and what is there stays. */
static enum mu_status make_more_room(struct mu_saved_rows *rows, size_t count)
{
    if (count <= rows->room)
        return MU_OK;
    size_t room = count + count / 8;
    bool there = true;
    rows->ids = grown(rows->ids, room * sizeof(*rows->ids), &there);
    for (int i = 0; i <= rows->slot_count; i++)
        rows->vectors[i] = grown(rows->vectors[i], room * rows->width * sizeof(float), &there);
    if (there)
        rows->room = room;
    else
        release(rows);
    return there ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_saved_rows_add(
    struct mu_saved_rows *rows, const uint64_t *ids, const float *added, size_t count)
{
    size_t width = rows->width, vectors = 1 + (size_t)rows->slot_count;
    assert(width > 0);
    MU_TRY(make_more_room(rows, rows->count + count));
    memcpy(rows->ids + rows->count, ids, count * sizeof(*ids));
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < vectors; i++)
            memcpy(rows->vectors[i] + (rows->count + r) * width, added + (r * vectors + i) * width,
                width * sizeof(float));
    rows->count += count;
    rows->unsorted = true;
    return MU_OK;
}

static void move_row(struct mu_saved_rows *rows, size_t to, size_t from)
{
    for (int i = 0; i <= rows->slot_count; i++)
        memcpy(rows->vectors[i] + to * rows->width, rows->vectors[i] + from * rows->width,
            rows->width * sizeof(float));
}

/* The entry of a place says where the row is that belongs there. */
static size_t source_of(const struct mu_saved_rows *rows, const struct mu_table_entry *entry)
{
    return (size_t)(entry->row - rows->vectors[0]) / rows->width;
}

/* Every cycle of places: its first row waits aside (in the place behind the last row) until the
 * others have moved up. */
static void put_in_order(struct mu_saved_rows *rows, struct mu_table_entry *entries)
{
    size_t aside = rows->count;
    for (size_t first = 0; first < rows->count; first++) {
        rows->ids[first] = entries[first].id;
        if (source_of(rows, &entries[first]) == first)
            continue;
        move_row(rows, aside, first);
        size_t to = first, from;
        while ((from = source_of(rows, &entries[to])) != first) {
            move_row(rows, to, from);
            entries[to].row = rows->vectors[0] + to * rows->width;
            to = from;
        }
        move_row(rows, to, aside);
        entries[to].row = rows->vectors[0] + to * rows->width;
    }
}

enum mu_status mu_saved_rows_sort(struct mu_saved_rows *rows)
{
    enum mu_status status = MU_OK;
    if (!rows->unsorted)
        return MU_OK;
    MU_TRY(make_more_room(rows, rows->count + 1));
    struct mu_table_entry *entries = calloc(rows->count, sizeof(*entries));
    if (!entries)
        return MU_NO_MEMORY;
    for (size_t r = 0; r < rows->count; r++)
        entries[r] =
            (struct mu_table_entry){.id = rows->ids[r], .row = rows->vectors[0] + r * rows->width};
    mu_table_sort(entries, rows->count);
    for (size_t r = 1; r < rows->count; r++)
        if (entries[r].id == entries[r - 1].id)
            status = MU_BROKEN;
    put_in_order(rows, entries);
    rows->unsorted = false;
    free(entries);
    return status;
}

uint32_t mu_saved_rows_crc32c(const struct mu_saved_rows *rows, uint32_t crc)
{
    crc = mu_crc32c(crc, rows->ids, rows->count * sizeof(*rows->ids));
    return mu_crc32c(crc, rows->vectors[0], rows->count * rows->width * sizeof(float));
}
