/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "runtime/base/crc32c.h"
#include "runtime/tensor/layout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES_MAX (MU_SLOTS_MAX * MU_VIEWS_MAX)

/* A safetensors file about to be put: a header, then the tensors, where they lie in the vectors or
 * as they are made. */
struct outgoing {
    struct mu_safetensor_source sources[SOURCES_MAX];
    size_t source_count;
    struct mu_text header;
    struct mu_store_piece pieces[1 + SOURCES_MAX];
    size_t piece_count;
    struct mu_manifest_file *entry; /* what the manifest says of it */
};

static void outgoing_init(struct outgoing *file)
{
    file->source_count = file->piece_count = 0;
    mu_text_init(&file->header);
}

/* `slot` is NULL for the parameters. */
static void add_vector(
    struct outgoing *file, const char *slot, const struct mu_layout *layout, const float *vector)
{
    for (int i = 0; i < layout->view_count; i++) {
        const struct mu_view *view = &layout->view[i];
        struct mu_safetensor_source *source = &file->sources[file->source_count++];
        *source = (struct mu_safetensor_source){.dtype = MU_SAFETENSORS_F32};
        mu_format(source->name, sizeof(source->name), "%s%s%s", slot ? slot : "", slot ? "/" : "",
            view->name);
        source->rank = view->rank;
        memcpy(source->shape, view->shape, sizeof(source->shape));
        source->data = vector + view->span.first;
    }
}

static void add_matrix(
    struct outgoing *file, const char *name, size_t rows, size_t columns, const float *data)
{
    struct mu_safetensor_source *source = &file->sources[file->source_count++];
    *source = (struct mu_safetensor_source){.dtype = MU_SAFETENSORS_F32};
    mu_text_copy(source->name, sizeof(source->name), name);
    source->rank = rows > 0 ? 2 : 1;
    source->shape[0] = (int64_t)(rows > 0 ? rows : columns);
    source->shape[1] = (int64_t)columns;
    source->data = data;
}

/* `part`: "ids", "rows" or a slot; `width` 0: a number a row; `data` NULL: it is made. */
static void add_part(
    struct outgoing *file, const char *part, size_t rows, size_t width, const void *data)
{
    struct mu_safetensor_source *source = &file->sources[file->source_count++];
    *source =
        (struct mu_safetensor_source){.dtype = width > 0 ? MU_SAFETENSORS_F32 : MU_SAFETENSORS_I64,
            .rank = width > 0 ? 2 : 1,
            .shape = {(int64_t)rows, (int64_t)width},
            .data = data};
    mu_checkpoint_rows_name(source->name, part);
}

static const char *part_name(const struct mu_snapshot *snapshot, int vector)
{
    return vector == 0 ? "rows" : snapshot->slot_names[vector - 1];
}

static void add_rows(struct outgoing *file, const struct mu_snapshot *snapshot)
{
    const struct mu_saved_rows *rows = snapshot->rows;
    const struct mu_row_runs *runs = snapshot->runs;
    size_t count = rows ? rows->count : (size_t)runs->count;
    add_part(file, "ids", count, 0, rows ? rows->ids : NULL);
    for (int i = 0; i <= snapshot->slot_count; i++)
        add_part(file, part_name(snapshot, i), count, rows ? rows->width : runs->width,
            rows ? rows->vectors[i] : NULL);
}

/* Makes the header and enters the file, with what is known before its data, in the manifest. */
static enum mu_status open_file(
    struct outgoing *file, const char *name, struct mu_manifest *manifest)
{
    MU_TRY(mu_manifest_add_file(manifest, name, file->source_count, &file->entry));
    struct mu_manifest_file *entry = file->entry;
    char step[24];
    mu_format(step, sizeof(step), "%lld", (long long)manifest->step);
    const char *const metadata[] = {"writer", manifest->writer, "step", step, NULL};
    mu_safetensors_sort(file->sources, file->source_count);
    MU_TRY(mu_safetensors_header(file->sources, file->source_count, metadata, &file->header));
    file->pieces[file->piece_count++] =
        (struct mu_store_piece){file->header.data, file->header.bytes};
    entry->bytes = file->header.bytes;
    entry->crc32c = mu_crc32c(0, file->header.data, file->header.bytes);
    for (size_t i = 0; i < file->source_count; i++) {
        const struct mu_safetensor_source *source = &file->sources[i];
        mu_text_copy(entry->tensors[i].name, sizeof(entry->tensors[i].name), source->name);
        entry->tensors[i].crc32c = 0;
        entry->bytes += mu_safetensors_source_bytes(source);
    }
    return MU_OK;
}

/* Bytes of a tensor, in the order of the file: goes on with both checksums. */
static void sum(struct outgoing *file, size_t tensor, const void *data, size_t bytes)
{
    struct mu_manifest_file *entry = file->entry;
    entry->tensors[tensor].crc32c = mu_crc32c(entry->tensors[tensor].crc32c, data, bytes);
    entry->crc32c = mu_crc32c(entry->crc32c, data, bytes);
}

/* Cuts a file in pieces whose data are in memory. */
static enum mu_status add_file(
    struct outgoing *file, const char *name, struct mu_manifest *manifest)
{
    MU_TRY(open_file(file, name, manifest));
    for (size_t i = 0; i < file->source_count; i++) {
        const struct mu_safetensor_source *source = &file->sources[i];
        size_t bytes = mu_safetensors_source_bytes(source);
        file->pieces[file->piece_count++] = (struct mu_store_piece){source->data, bytes};
        sum(file, i, source->data, bytes);
    }
    return MU_OK;
}

static enum mu_status describe_run(const struct mu_snapshot *snapshot, struct mu_manifest *manifest)
{
    mu_text_copy(manifest->run, sizeof(manifest->run), snapshot->run);
    mu_text_copy(manifest->model, sizeof(manifest->model), snapshot->model);
    mu_text_copy(manifest->optimizer, sizeof(manifest->optimizer), snapshot->optimizer);
    manifest->wall_ns = snapshot->wall_ns;
    manifest->step = snapshot->step;
    manifest->epoch = snapshot->epoch;
    manifest->samples_done = snapshot->samples_done;
    manifest->seed = snapshot->seed;
    manifest->job_hash = snapshot->job_hash;
    manifest->layout_crc32c = mu_layout_crc32c(snapshot->layout);
    manifest->parameters_crc32c = mu_layout_crc32c_of(snapshot->layout, snapshot->parameters);
    if (snapshot->rows)
        manifest->parameters_crc32c =
            mu_saved_rows_crc32c(snapshot->rows, manifest->parameters_crc32c);
    for (int i = 0; i < snapshot->position_count; i++)
        MU_TRY(mu_manifest_add_position(manifest, &snapshot->positions[i]));
    return MU_OK;
}

/* The files, in memory but for the tensors themselves. */
struct entry {
    struct mu_log *log;
    const struct mu_snapshot *snapshot;
    struct outgoing model, optimizer, embedding, residual;
    struct mu_manifest manifest;
};

static enum mu_status add_residual(struct entry *entry, const struct mu_snapshot *snapshot)
{
    if (snapshot->residual_count > 0)
        add_matrix(&entry->residual, "residuals", (size_t)snapshot->residual_count,
            snapshot->layout->element_count, snapshot->residuals);
    if (snapshot->shared_count > 0)
        add_matrix(&entry->residual, "shared", 0, snapshot->shared_count, snapshot->shared);
    if (entry->residual.source_count == 0)
        return MU_OK;
    return add_file(&entry->residual, MU_CHECKPOINT_RESIDUAL, &entry->manifest);
}

static enum mu_status add_embedding(struct entry *entry, const struct mu_snapshot *snapshot)
{
    if (!snapshot->rows && !snapshot->runs)
        return MU_OK;
    assert(!snapshot->rows || snapshot->rows->slot_count == snapshot->slot_count);
    assert(!snapshot->runs || snapshot->runs->slot_count == snapshot->slot_count);
    add_rows(&entry->embedding, snapshot);
    return (snapshot->rows ? add_file : open_file)(
        &entry->embedding, MU_CHECKPOINT_EMBEDDING, &entry->manifest);
}

static enum mu_status fill_entry(struct entry *entry, const struct mu_snapshot *snapshot)
{
    MU_TRY(describe_run(snapshot, &entry->manifest));
    add_vector(&entry->model, NULL, snapshot->layout, snapshot->parameters);
    for (int i = 0; i < snapshot->slot_count; i++)
        add_vector(
            &entry->optimizer, snapshot->slot_names[i], snapshot->layout, snapshot->slots[i]);
    MU_TRY(add_file(&entry->model, MU_CHECKPOINT_MODEL, &entry->manifest));
    MU_TRY(add_file(&entry->optimizer, MU_CHECKPOINT_OPTIMIZER, &entry->manifest));
    MU_TRY(add_embedding(entry, snapshot));
    return add_residual(entry, snapshot);
}

/* ---- what is made while it is written ---- */

/* A tensor of rows that come from the disk. */
struct made {
    struct entry *entry;
    struct mu_store_output *output;
    size_t tensor;
    bool is_counted; /* in the checksum of the parameters */
};

static enum mu_status write_made(void *owner, const void *data, size_t bytes)
{
    const struct made *made = owner;
    struct mu_manifest *manifest = &made->entry->manifest;
    sum(&made->entry->embedding, made->tensor, data, bytes);
    if (made->is_counted)
        manifest->parameters_crc32c = mu_crc32c(manifest->parameters_crc32c, data, bytes);
    return made->output->write(made->output, data, bytes);
}

/* Which vector of a row a tensor has, or MU_ROW_RUNS_IDS. */
static int vector_of(const struct mu_snapshot *snapshot, const char *tensor)
{
    char name[2 * MU_NAME_MAX];
    for (int i = 0; i <= snapshot->slot_count; i++) {
        mu_checkpoint_rows_name(name, part_name(snapshot, i));
        if (strcmp(name, tensor) == 0)
            return i;
    }
    return MU_ROW_RUNS_IDS;
}

/* The ids are the first tensor, so both checksums see them before the rows. */
static enum mu_status make_embedding(void *owner, struct mu_store_output *output)
{
    struct entry *entry = owner;
    const struct outgoing *file = &entry->embedding;
    for (size_t i = 0; i < file->source_count; i++) {
        int vector = vector_of(entry->snapshot, file->sources[i].name);
        struct made made = {entry, output, i, vector <= 0};
        assert((vector == MU_ROW_RUNS_IDS) == (i == 0));
        MU_TRY(mu_row_runs_merge(entry->snapshot->runs, entry->log, vector, write_made, &made));
    }
    return MU_OK;
}

/* The last file: it has the checksums of all others. */
static enum mu_status make_manifest(void *owner, struct mu_store_output *output)
{
    const struct entry *entry = owner;
    struct mu_text text;
    mu_text_init(&text);
    mu_manifest_write(&entry->manifest, &text);
    enum mu_status status = MU_OK;
    if (text.failed)
        status = mu_fail(entry->log, MU_E0801, NULL, "no memory to save step %lld",
            (long long)entry->manifest.step);
    else if (text.bytes > MU_JSON_BYTES_MAX)
        status = mu_fail(entry->log, MU_E0605, NULL, "the manifest has %zu bytes; the most is %d",
            text.bytes, MU_JSON_BYTES_MAX);
    else
        status = output->write(output, text.data, text.bytes);
    mu_text_finish(&text);
    return status;
}

/* A file of the entry, if it has one. */
static size_t list_file(
    struct mu_store_file *files, size_t count, const char *name, const struct outgoing *file)
{
    if (file->piece_count == 0)
        return count;
    files[count] = (struct mu_store_file){.pieces = file->pieces, .piece_count = file->piece_count};
    mu_text_copy(files[count].name, sizeof(files[count].name), name);
    return count + 1;
}

static enum mu_status put_entry(struct mu_store *store, struct entry *entry)
{
    struct mu_store_file files[MU_STORE_FILES_MAX];
    size_t count = list_file(files, 0, MU_CHECKPOINT_MODEL, &entry->model);
    count = list_file(files, count, MU_CHECKPOINT_OPTIMIZER, &entry->optimizer);
    count = list_file(files, count, MU_CHECKPOINT_EMBEDDING, &entry->embedding);
    if (entry->snapshot->runs) {
        files[count - 1].make = make_embedding;
        files[count - 1].owner = entry;
        files[count - 1].made_bytes = entry->embedding.entry->bytes - entry->embedding.header.bytes;
    }
    count = list_file(files, count, MU_CHECKPOINT_RESIDUAL, &entry->residual);
    files[count++] =
        (struct mu_store_file){.name = MU_MANIFEST_NAME, .make = make_manifest, .owner = entry};
    return store->ops->put(store, entry->log, entry->manifest.step, files, count);
}

static void drop(struct mu_store *store, struct mu_log *log, int64_t number)
{
    char where[256];
    store->ops->describe(store, number, where, sizeof(where));
    if (store->ops->drop(store, log, number) != MU_OK)
        mu_say(log, MU_LEVEL_WARN, "the old checkpoint %s stays", where);
}

static void drop_old(struct mu_store *store, struct mu_log *log, int64_t step, int keep)
{
    int64_t numbers[MU_CHECKPOINTS_MAX];
    size_t count = store->ops->list(store, numbers, MU_CHECKPOINTS_MAX);
    count = count < MU_CHECKPOINTS_MAX ? count : MU_CHECKPOINTS_MAX;
    while (count > 0 && numbers[count - 1] > step)
        drop(store, log, numbers[--count]);
    for (size_t i = 0; i + (size_t)keep < count; i++)
        drop(store, log, numbers[i]);
}

static void entry_init(struct entry *entry, struct mu_log *log, const struct mu_snapshot *snapshot)
{
    entry->log = log;
    entry->snapshot = snapshot;
    outgoing_init(&entry->model);
    outgoing_init(&entry->optimizer);
    outgoing_init(&entry->embedding);
    outgoing_init(&entry->residual);
    mu_manifest_init(&entry->manifest);
}

static void entry_finish(struct entry *entry)
{
    mu_manifest_finish(&entry->manifest);
    mu_text_finish(&entry->residual.header);
    mu_text_finish(&entry->embedding.header);
    mu_text_finish(&entry->optimizer.header);
    mu_text_finish(&entry->model.header);
}

enum mu_status mu_checkpoint_save(
    struct mu_store *store, struct mu_log *log, const struct mu_snapshot *snapshot, int keep)
{
    assert(keep >= 1);
    assert(snapshot->step >= 0);
    assert(snapshot->slot_count <= MU_SLOTS_MAX);
    assert(!snapshot->rows || !snapshot->runs);
    struct entry *entry = malloc(sizeof(*entry));
    if (!entry)
        return mu_fail(
            log, MU_E0801, NULL, "no memory to save step %lld", (long long)snapshot->step);
    entry_init(entry, log, snapshot);
    enum mu_status status = fill_entry(entry, snapshot);
    if (status == MU_NO_MEMORY)
        mu_say(log, MU_LEVEL_WARN, "no memory to save step %lld", (long long)snapshot->step);
    if (status == MU_OK)
        status = put_entry(store, entry);
    if (status == MU_OK && snapshot->ret_parameters_crc32c)
        *snapshot->ret_parameters_crc32c = entry->manifest.parameters_crc32c;
    entry_finish(entry);
    free(entry);
    if (status == MU_OK)
        drop_old(store, log, snapshot->step, keep);
    return status;
}
