/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/row_runs.h"
#include "ps/table/table_save.h"
#include <stdlib.h>
#include <string.h>

/* ---- a run in memory ---- */

enum mu_status mu_row_run_init(struct mu_row_run *run, size_t stride, size_t bytes)
{
    size_t row_bytes = sizeof(*run->ids) + stride * sizeof(*run->rows);
    size_t room = bytes < row_bytes ? 1 : bytes / row_bytes;
    *run = (struct mu_row_run){.stride = stride, .room = room};
    run->ids = malloc(room * sizeof(*run->ids));
    run->rows = malloc(room * stride * sizeof(*run->rows));
    if (run->ids && run->rows)
        return MU_OK;
    mu_row_run_finish(run);
    return MU_NO_MEMORY;
}

void mu_row_run_finish(struct mu_row_run *run)
{
    free(run->ids);
    free(run->rows);
    *run = (struct mu_row_run){0};
}

void mu_row_run_add(struct mu_row_run *run, const uint64_t *ids, const float *rows, size_t count)
{
    assert(count <= run->room - run->count);
    memcpy(run->ids + run->count, ids, count * sizeof(*ids));
    memcpy(run->rows + run->count * run->stride, rows, count * run->stride * sizeof(*run->rows));
    run->count += count;
}

/* ---- to the disk ---- */

void mu_row_runs_init(
    struct mu_row_runs *runs, struct mu_store *store, size_t width, int slot_count)
{
    assert(width > 0);
    assert(slot_count >= 0 && slot_count <= MU_SLOTS_MAX);
    *runs = (struct mu_row_runs){.store = store, .width = width, .slot_count = slot_count};
}

void mu_row_runs_clear(struct mu_row_runs *runs)
{
    if (runs->scratch)
        runs->scratch->ops->close(runs->scratch);
    free(runs->places);
    *runs = (struct mu_row_runs){
        .store = runs->store, .width = runs->width, .slot_count = runs->slot_count};
}

/* A run on its way: its rows in their order, and what is written of them at a time. */
struct outgoing {
    struct mu_row_runs *runs;
    struct mu_log *log;
    const struct mu_table_entry *entries;
    size_t count;
    struct mu_row_part part;
};

static enum mu_status write_part(void *owner, const void *data, size_t bytes)
{
    struct outgoing *going = owner;
    struct mu_store_open *scratch = going->runs->scratch;
    return scratch->ops->append(scratch, going->log, data, bytes);
}

static enum mu_status write_run(struct outgoing *going)
{
    size_t width = going->runs->width;
    struct mu_row_part *part = &going->part;
    for (size_t r = 0; r < going->count; r++)
        MU_TRY(mu_row_part_add(part, &going->entries[r].id, sizeof(going->entries[r].id)));
    for (int i = 0; i <= going->runs->slot_count; i++)
        for (size_t r = 0; r < going->count; r++)
            MU_TRY(mu_row_part_add(
                part, going->entries[r].row + (size_t)i * width, width * sizeof(float)));
    return mu_row_part_flush(part);
}

static void sort(const struct mu_row_run *run, struct mu_table_entry *ret_entries)
{
    for (size_t r = 0; r < run->count; r++)
        ret_entries[r] =
            (struct mu_table_entry){.id = run->ids[r], .row = run->rows + r * run->stride};
    mu_table_sort(ret_entries, run->count);
}

/* Where the next run will be. The array grows by one: a run is so much more. */
static enum mu_status add_place(struct mu_row_runs *runs, size_t count)
{
    struct mu_row_run_place *places =
        realloc(runs->places, (runs->run_count + 1) * sizeof(*places));
    if (!places)
        return MU_NO_MEMORY;
    places[runs->run_count] = (struct mu_row_run_place){.at = runs->bytes, .count = count};
    runs->places = places;
    return MU_OK;
}

static enum mu_status append_sorted(struct outgoing *going)
{
    struct mu_row_runs *runs = going->runs;
    size_t row_bytes = runs->width * (1 + (size_t)runs->slot_count) * sizeof(float);
    if (!runs->scratch)
        MU_TRY(runs->store->ops->scratch(runs->store, going->log, &runs->scratch));
    MU_TRY(write_run(going));
    runs->bytes += going->count * (sizeof(uint64_t) + row_bytes);
    runs->count += going->count;
    runs->run_count++;
    return MU_OK;
}

enum mu_status mu_row_runs_append(
    struct mu_row_runs *runs, struct mu_log *log, struct mu_row_run *run)
{
    size_t count = run->count;
    assert(run->stride == runs->width * (1 + (size_t)runs->slot_count));
    if (count == 0)
        return MU_OK;
    struct mu_table_entry *entries = malloc(count * sizeof(*entries));
    struct outgoing going = {.runs = runs, .log = log, .entries = entries, .count = count};
    enum mu_status status =
        mu_row_part_init(&going.part, runs->width * sizeof(float), write_part, &going);
    if (!entries || status != MU_OK || add_place(runs, count) != MU_OK)
        status = mu_fail(log, MU_E0801, NULL, "no memory to sort %zu embedding rows", count);
    if (status == MU_OK) {
        sort(run, entries);
        status = append_sorted(&going);
    }
    run->count = 0;
    mu_row_part_finish(&going.part);
    free(entries);
    return status;
}
