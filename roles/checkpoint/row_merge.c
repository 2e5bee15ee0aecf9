/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/row_runs.h"
#include <stdlib.h>

/* All runs at once: the smallest of their next ids is the next one. */

#define PAGE_BYTES ((size_t)4096)

/* A run, and what has been read ahead of it. */
struct source {
    uint64_t ids_at, rows_at; /* of what comes next from the disk */
    size_t left;              /* rows there */
    size_t have, next;
    uint64_t *ids; /* (room) */
    char *rows;    /* (room, row_bytes) */
};

struct merge {
    const struct mu_row_runs *runs;
    struct mu_log *log;
    struct mu_row_part part; /* given away at a time */
    size_t row_bytes;        /* 0: only ids are read */
    size_t room;             /* rows of a run that are read at a time */
    struct source *sources;
    char *ahead;
    struct source **heap; /* those with rows left; the smallest id first */
    size_t heap_count;
};

/* ---- reading ahead ---- */

/* The next rows of a run that has no more here; none are left: have is 0. */
static enum mu_status refill(const struct merge *merge, struct source *source)
{
    struct mu_store_open *scratch = merge->runs->scratch;
    size_t count = source->left < merge->room ? source->left : merge->room;
    size_t id_bytes = count * sizeof(*source->ids), bytes = count * merge->row_bytes;
    if (count > 0)
        MU_TRY(scratch->ops->read(scratch, merge->log, source->ids_at, source->ids, id_bytes));
    if (bytes > 0)
        MU_TRY(scratch->ops->read(scratch, merge->log, source->rows_at, source->rows, bytes));
    source->ids_at += id_bytes;
    source->rows_at += bytes;
    source->left -= count;
    source->have = count;
    source->next = 0;
    return MU_OK;
}

/* ---- the smallest ---- */

static uint64_t id_of(const struct source *source)
{
    return source->ids[source->next];
}

static void sift_down(const struct merge *merge, size_t at)
{
    struct source *moved = merge->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < merge->heap_count &&
            id_of(merge->heap[child + 1]) < id_of(merge->heap[child]))
            child++;
        if (child >= merge->heap_count || id_of(moved) <= id_of(merge->heap[child]))
            break;
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = moved;
}

/* The first of the heap has given its row. */
static enum mu_status advance(struct merge *merge)
{
    struct source *source = merge->heap[0];
    if (++source->next == source->have)
        MU_TRY(refill(merge, source));
    if (source->have == 0)
        merge->heap[0] = merge->heap[--merge->heap_count];
    if (merge->heap_count > 0)
        sift_down(merge, 0);
    return MU_OK;
}

/* ---- from the first row to the last ---- */

static enum mu_status give_row(struct merge *merge)
{
    const struct source *source = merge->heap[0];
    if (merge->row_bytes == 0)
        return mu_row_part_add(&merge->part, &source->ids[source->next], sizeof(*source->ids));
    return mu_row_part_add(
        &merge->part, source->rows + source->next * merge->row_bytes, merge->row_bytes);
}

static enum mu_status give_rows(struct merge *merge)
{
    uint64_t last = 0;
    for (bool first = true; merge->heap_count > 0; first = false) {
        uint64_t id = id_of(merge->heap[0]);
        if (!first && id == last)
            return mu_fail(merge->log, MU_E0701, NULL,
                "the servers sent an embedding row twice in one snapshot");
        last = id;
        MU_TRY(give_row(merge));
        MU_TRY(advance(merge));
    }
    return mu_row_part_flush(&merge->part);
}

/* ---- life ---- */

static enum mu_status make_room(struct merge *merge, mu_row_part_take *take, void *owner)
{
    const struct mu_row_runs *runs = merge->runs;
    size_t each = sizeof(uint64_t) + merge->row_bytes;
    size_t bytes = MU_ROW_MERGE_BYTES / runs->run_count;
    bytes = bytes > PAGE_BYTES ? bytes : PAGE_BYTES;
    merge->room = bytes > each ? bytes / each : 1;
    merge->sources = calloc(runs->run_count, sizeof(*merge->sources));
    merge->heap = calloc(runs->run_count, sizeof(struct source *));
    merge->ahead = malloc(runs->run_count * merge->room * each);
    bool has_part = mu_row_part_init(&merge->part, merge->row_bytes, take, owner) == MU_OK;
    return merge->sources && merge->heap && merge->ahead && has_part
               ? MU_OK
               : mu_fail(merge->log, MU_E0801, NULL, "no memory to merge %llu embedding rows",
                     (unsigned long long)runs->count);
}

static enum mu_status open_sources(struct merge *merge, int vector)
{
    const struct mu_row_runs *runs = merge->runs;
    uint64_t *ids = (uint64_t *)(void *)merge->ahead;
    char *rows = (char *)(ids + runs->run_count * merge->room);
    for (size_t i = 0; i < runs->run_count; i++) {
        const struct mu_row_run_place *place = &runs->places[i];
        struct source *source = &merge->sources[i];
        source->ids_at = place->at;
        source->left = place->count;
        source->rows_at = place->at + place->count * sizeof(*ids);
        if (vector > 0)
            source->rows_at += (uint64_t)vector * place->count * merge->row_bytes;
        source->ids = ids + i * merge->room;
        source->rows = rows + i * merge->room * merge->row_bytes;
        MU_TRY(refill(merge, source));
        merge->heap[merge->heap_count++] = source;
    }
    for (size_t at = merge->heap_count; at-- > 0;)
        sift_down(merge, at);
    return MU_OK;
}

enum mu_status mu_row_runs_merge(const struct mu_row_runs *runs, struct mu_log *log, int vector,
    mu_row_part_take *take, void *owner)
{
    assert(vector >= MU_ROW_RUNS_IDS && vector <= runs->slot_count);
    if (runs->run_count == 0)
        return MU_OK;
    struct merge merge = {.runs = runs, .log = log};
    merge.row_bytes = vector == MU_ROW_RUNS_IDS ? 0 : runs->width * sizeof(float);
    enum mu_status status = make_room(&merge, take, owner);
    if (status == MU_OK)
        status = open_sources(&merge, vector);
    if (status == MU_OK)
        status = give_rows(&merge);
    mu_row_part_finish(&merge.part);
    free(merge.ahead);
    free(merge.heap);
    free(merge.sources);
    return status;
}
