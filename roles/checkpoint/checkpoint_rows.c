/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "roles/checkpoint/differences.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Loading the rows of an embedding table:
 *
 *   tensors     are they those of this model and optimizer?      no: say how they differ, and stop
 *   numbers     as many rows of each as ids, ids that increase,  damaged: the entry before it
 *               no infinity and no NaN
 *   rows        read again, put together, given away one by one
 *
 * Of a table that is larger than the memory some rows are here at a time.
 */
#define ROWS_BYTES ((size_t)4 << 20) /* of those that are here at a time */

void mu_checkpoint_rows_name(char out[2 * MU_NAME_MAX], const char *part)
{
    mu_format(out, 2 * MU_NAME_MAX, "embedding.%s", part);
}

/* The file while it is read; what is not there is NULL. */
struct incoming {
    const struct mu_checkpoint_loading *loading;
    char where[MU_CHECKPOINT_WHERE_BYTES];
    struct mu_checkpoint_file file;
    const struct mu_safetensor *ids;
    const struct mu_safetensor *vectors[1 + MU_SLOTS_MAX]; /* parameters, slots */
    int vector_count;
    size_t width, count;
    /* Of the rows that are here. */
    size_t room;
    uint64_t *id;                  /* (room) */
    float *part[1 + MU_SLOTS_MAX]; /* (room, width) each */
    float *row;                    /* (vector_count, width): the one at hand */
    uint64_t last;                 /* the id before */
};

static const char *part_name(const struct incoming *file, int vector)
{
    return vector == 0 ? "rows" : file->loading->target->slot_names[vector - 1];
}

static void find_tensors(struct incoming *file)
{
    char name[2 * MU_NAME_MAX];
    const struct mu_checkpoint_loading *loading = file->loading;
    file->width = loading->target->row_width;
    file->vector_count = loading->parameters_only ? 1 : 1 + loading->target->slot_count;
    mu_checkpoint_rows_name(name, "ids");
    file->ids = mu_safetensors_find(&file->file.tensors, name);
    for (int i = 0; i < file->vector_count; i++) {
        mu_checkpoint_rows_name(name, part_name(file, i));
        file->vectors[i] = mu_safetensors_find(&file->file.tensors, name);
    }
}

/* ---- is it ours? ---- */

/* How many rows there are is the table's own matter: "N". `width` 0: a number a row. */
static void compare(struct mu_differences *differences, const char *part, const char *dtype,
    size_t width, const struct mu_safetensor *tensor)
{
    char name[2 * MU_NAME_MAX];
    char expected[MU_DIFFERENCES_SHAPE_BYTES], found[MU_DIFFERENCES_SHAPE_BYTES];
    int rank = width > 0 ? 2 : 1;
    if (tensor && tensor->rank == rank && strcmp(tensor->dtype, dtype) == 0 &&
        (width == 0 || tensor->shape[1] == (int64_t)width))
        return;
    mu_checkpoint_rows_name(name, part);
    if (width > 0)
        mu_format(expected, sizeof(expected), "Nx%zu %s", width, dtype);
    else
        mu_format(expected, sizeof(expected), "N %s", dtype);
    mu_differences_found(found, tensor);
    mu_differences_add(differences, name, expected, found);
}

static bool is_looked_for(const struct incoming *file, const struct mu_safetensor *tensor)
{
    bool looked_for = tensor == file->ids;
    for (int i = 0; i < file->vector_count; i++)
        looked_for = looked_for || tensor == file->vectors[i];
    return looked_for;
}

/* What the target has no use for; its table may be another one, or none. */
static void add_surplus(struct mu_differences *differences, const struct incoming *file)
{
    for (size_t i = 0; i < file->file.tensors.tensor_count; i++) {
        char found[MU_DIFFERENCES_SHAPE_BYTES];
        const struct mu_safetensor *tensor = &file->file.tensors.tensor[i];
        if (file->width > 0 && (file->loading->parameters_only || is_looked_for(file, tensor)))
            continue;
        mu_differences_found(found, tensor);
        mu_differences_add(differences, tensor->name, "nothing", found);
    }
}

static enum mu_status check_tensors(const struct incoming *file)
{
    struct mu_differences differences;
    mu_differences_init(&differences);
    if (file->width > 0) {
        compare(&differences, "ids", "I64", 0, file->ids);
        for (int i = 0; i < file->vector_count; i++)
            compare(&differences, part_name(file, i), "F32", file->width, file->vectors[i]);
    }
    add_surplus(&differences, file);
    return mu_differences_finish(&differences, file->loading->foreign, file->where);
}

/* ---- row by row ---- */

static enum mu_status make_room(struct incoming *file)
{
    size_t vectors = (size_t)file->vector_count, bytes = vectors * file->width * sizeof(float);
    file->room = 1 + ROWS_BYTES / (sizeof(*file->id) + bytes);
    file->id = malloc(file->room * sizeof(*file->id));
    file->part[0] = malloc(file->room * bytes);
    file->row = malloc(bytes);
    if (!file->id || !file->part[0] || !file->row)
        return mu_fail(file->loading->quiet, MU_E0801, NULL, "no memory to read %s", file->where);
    for (size_t i = 1; i < vectors; i++)
        file->part[i] = file->part[0] + i * file->room * file->width;
    return MU_OK;
}

static enum mu_status read_rows(
    struct incoming *file, struct mu_log *log, size_t first, size_t count)
{
    size_t bytes = file->width * sizeof(float);
    MU_TRY(mu_checkpoint_read(&file->file, log, file->ids, first * sizeof(*file->id), file->id,
        count * sizeof(*file->id)));
    for (int i = 0; i < file->vector_count; i++)
        MU_TRY(mu_checkpoint_read(
            &file->file, log, file->vectors[i], first * bytes, file->part[i], count * bytes));
    return MU_OK;
}

/* The parameters and slots of one of the rows that are here, side by side as in a table. */
static const float *row_of(const struct incoming *file, size_t r)
{
    for (int i = 0; i < file->vector_count; i++)
        memcpy(file->row + (size_t)i * file->width, file->part[i] + r * file->width,
            file->width * sizeof(float));
    return file->row;
}

typedef enum mu_status visit(struct incoming *file, size_t r, uint64_t id, const float *row);

/* `log` hears of what cannot be read. */
static enum mu_status for_each_row(struct incoming *file, struct mu_log *log, visit *look)
{
    for (size_t first = 0; first < file->count; first += file->room) {
        size_t left = file->count - first, count = left < file->room ? left : file->room;
        MU_TRY(read_rows(file, log, first, count));
        for (size_t r = 0; r < count; r++) {
            MU_TRY(look(file, first + r, file->id[r], row_of(file, r)));
            file->last = file->id[r];
        }
    }
    return MU_OK;
}

/* ---- is it sound? ---- */

static enum mu_status check_counts(struct incoming *file)
{
    file->count = (size_t)file->ids->shape[0];
    for (int i = 0; i < file->vector_count; i++)
        if (file->vectors[i]->shape[0] != file->ids->shape[0])
            return mu_fail(file->loading->quiet, MU_E0601, NULL,
                "%s: %zu ids, but %lld rows in `%s`", file->where, file->count,
                (long long)file->vectors[i]->shape[0], file->vectors[i]->name);
    return MU_OK;
}

static enum mu_status check_row(struct incoming *file, size_t r, uint64_t id, const float *row)
{
    if (r > 0 && id <= file->last)
        return mu_fail(file->loading->quiet, MU_E0601, NULL,
            "%s: id %llu of row %zu does not come after the one before", file->where,
            (unsigned long long)id, r);
    for (size_t i = 0; i < (size_t)file->vector_count * file->width; i++)
        if (!isfinite(row[i]))
            return mu_fail(file->loading->quiet, MU_E0601, NULL,
                "%s: `%s` has %g for id %llu, which is no number", file->where,
                file->vectors[i / file->width]->name, (double)row[i], (unsigned long long)id);
    return MU_OK;
}

/* ---- all of it ---- */

static enum mu_status give_row(struct incoming *file, size_t r, uint64_t id, const float *row)
{
    const struct mu_row_writer *rows = &file->loading->target->rows;
    (void)r;
    return rows->put(rows->owner, id, row);
}

/* What cannot be read any more when rows were given is final: they cannot be taken back, and no
 * other entry would make them good. */
static enum mu_status give_rows(struct incoming *file)
{
    MU_TRY(check_counts(file));
    if (file->count == 0)
        return MU_OK;
    MU_TRY(make_room(file));
    MU_TRY(for_each_row(file, file->loading->quiet, check_row));
    enum mu_status status = for_each_row(file, file->loading->log, give_row);
    if (status == MU_NO_MEMORY)
        return mu_fail(file->loading->quiet, MU_E0801, NULL, "no memory for the %zu rows of %s",
            file->count, file->where);
    return status;
}

enum mu_status mu_checkpoint_rows_load(
    const struct mu_checkpoint_loading *loading, const struct mu_manifest *manifest)
{
    struct incoming file = {.loading = loading};
    bool there = mu_manifest_file(manifest, MU_CHECKPOINT_EMBEDDING) != NULL;
    if (!there && loading->target->row_width == 0)
        return MU_OK;
    mu_checkpoint_name_file(loading->store, manifest->step, MU_CHECKPOINT_EMBEDDING, file.where);
    if (there)
        MU_TRY(mu_checkpoint_open_file(
            loading->store, loading->quiet, manifest, MU_CHECKPOINT_EMBEDDING, &file.file));
    find_tensors(&file);
    enum mu_status status = check_tensors(&file);
    if (status == MU_OK)
        status = give_rows(&file);
    free(file.id);
    free(file.part[0]);
    free(file.row);
    mu_checkpoint_close_file(&file.file);
    return status;
}
