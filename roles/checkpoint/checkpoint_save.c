/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "runtime/base/crc32c.h"
#include "runtime/tensor/layout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES_MAX (MU_SLOTS_MAX * MU_VIEWS_MAX)

/* A safetensors file about to be put: a header, then the tensors where they lie in the vectors. */
struct outgoing {
    struct mu_safetensor_source sources[SOURCES_MAX];
    size_t source_count;
    struct mu_text header;
    struct mu_store_piece pieces[1 + SOURCES_MAX];
};

static void outgoing_init(struct outgoing *file)
{
    file->source_count = 0;
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

static void add_rows(struct outgoing *file, const struct mu_snapshot *snapshot)
{
    const struct mu_saved_rows *rows = snapshot->rows;
    struct mu_safetensor_source *ids = &file->sources[file->source_count++];
    *ids = (struct mu_safetensor_source){
        .dtype = MU_SAFETENSORS_I64, .rank = 1, .shape = {(int64_t)rows->count}, .data = rows->ids};
    mu_checkpoint_rows_name(ids->name, "ids");
    for (int i = 0; i <= rows->slot_count; i++) {
        struct mu_safetensor_source *vector = &file->sources[file->source_count++];
        *vector = (struct mu_safetensor_source){.rank = 2,
            .shape = {(int64_t)rows->count, (int64_t)rows->width},
            .data = rows->vectors[i]};
        mu_checkpoint_rows_name(vector->name, i == 0 ? "rows" : snapshot->slot_names[i - 1]);
    }
}

/* Cuts the file in pieces and enters it, with every checksum, in the manifest. */
static enum mu_status close_file(
    struct outgoing *file, const char *name, struct mu_log *log, struct mu_manifest *manifest)
{
    struct mu_manifest_file *entry;
    MU_TRY(mu_manifest_add_file(manifest, name, file->source_count, &entry));
    char step[24];
    mu_format(step, sizeof(step), "%lld", (long long)manifest->step);
    const char *const metadata[] = {"writer", manifest->writer, "step", step, NULL};
    mu_safetensors_sort(file->sources, file->source_count);
    MU_TRY(mu_safetensors_header(file->sources, file->source_count, metadata, &file->header));
    file->pieces[0] = (struct mu_store_piece){file->header.data, file->header.bytes};
    entry->bytes = file->header.bytes;
    entry->crc32c = mu_crc32c(0, file->header.data, file->header.bytes);
    for (size_t i = 0; i < file->source_count; i++) {
        const struct mu_safetensor_source *source = &file->sources[i];
        size_t bytes = mu_safetensors_source_bytes(source);
        file->pieces[1 + i] = (struct mu_store_piece){source->data, bytes};
        mu_text_copy(entry->tensors[i].name, sizeof(entry->tensors[i].name), source->name);
        entry->tensors[i].crc32c = mu_crc32c(0, source->data, bytes);
        entry->bytes += bytes;
        entry->crc32c = mu_crc32c(entry->crc32c, source->data, bytes);
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
    struct outgoing model, optimizer, embedding, residual;
    struct mu_manifest manifest;
    struct mu_text manifest_text;
};

static enum mu_status add_residual(
    struct entry *entry, struct mu_log *log, const struct mu_snapshot *snapshot)
{
    if (snapshot->residual_count > 0)
        add_matrix(&entry->residual, "residuals", (size_t)snapshot->residual_count,
            snapshot->layout->element_count, snapshot->residuals);
    if (snapshot->shared_count > 0)
        add_matrix(&entry->residual, "shared", 0, snapshot->shared_count, snapshot->shared);
    if (entry->residual.source_count == 0)
        return MU_OK;
    return close_file(&entry->residual, MU_CHECKPOINT_RESIDUAL, log, &entry->manifest);
}

static enum mu_status add_embedding(
    struct entry *entry, struct mu_log *log, const struct mu_snapshot *snapshot)
{
    if (!snapshot->rows)
        return MU_OK;
    assert(snapshot->rows->slot_count == snapshot->slot_count);
    add_rows(&entry->embedding, snapshot);
    return close_file(&entry->embedding, MU_CHECKPOINT_EMBEDDING, log, &entry->manifest);
}

static enum mu_status fill_entry(
    struct entry *entry, struct mu_log *log, const struct mu_snapshot *snapshot)
{
    MU_TRY(describe_run(snapshot, &entry->manifest));
    add_vector(&entry->model, NULL, snapshot->layout, snapshot->parameters);
    for (int i = 0; i < snapshot->slot_count; i++)
        add_vector(
            &entry->optimizer, snapshot->slot_names[i], snapshot->layout, snapshot->slots[i]);
    MU_TRY(close_file(&entry->model, MU_CHECKPOINT_MODEL, log, &entry->manifest));
    MU_TRY(close_file(&entry->optimizer, MU_CHECKPOINT_OPTIMIZER, log, &entry->manifest));
    MU_TRY(add_embedding(entry, log, snapshot));
    MU_TRY(add_residual(entry, log, snapshot));
    mu_manifest_write(&entry->manifest, &entry->manifest_text);
    return entry->manifest_text.failed ? MU_NO_MEMORY : MU_OK;
}

/* A file that only some entries have. */
static size_t add_optional(
    struct mu_store_file *files, size_t count, const char *name, const struct outgoing *file)
{
    if (file->source_count == 0)
        return count;
    files[count] =
        (struct mu_store_file){.pieces = file->pieces, .piece_count = 1 + file->source_count};
    mu_text_copy(files[count].name, sizeof(files[count].name), name);
    return count + 1;
}

static enum mu_status put_entry(struct mu_store *store, struct mu_log *log, struct entry *entry)
{
    const struct mu_text *text = &entry->manifest_text;
    struct mu_store_piece manifest = {text->data, text->bytes};
    size_t count = 3;
    struct mu_store_file files[MU_STORE_FILES_MAX] = {
        {.name = MU_CHECKPOINT_MODEL,
            .pieces = entry->model.pieces,
            .piece_count = 1 + entry->model.source_count},
        {.name = MU_CHECKPOINT_OPTIMIZER,
            .pieces = entry->optimizer.pieces,
            .piece_count = 1 + entry->optimizer.source_count},
        {.name = MU_MANIFEST_NAME, .pieces = &manifest, .piece_count = 1},
    };
    count = add_optional(files, count, MU_CHECKPOINT_EMBEDDING, &entry->embedding);
    count = add_optional(files, count, MU_CHECKPOINT_RESIDUAL, &entry->residual);
    if (text->bytes > MU_JSON_BYTES_MAX)
        return mu_fail(log, MU_E0605, NULL, "the manifest has %zu bytes; the most is %d",
            text->bytes, MU_JSON_BYTES_MAX);
    return store->ops->put(store, log, entry->manifest.step, files, count);
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

enum mu_status mu_checkpoint_save(
    struct mu_store *store, struct mu_log *log, const struct mu_snapshot *snapshot, int keep)
{
    assert(keep >= 1);
    assert(snapshot->step >= 0);
    assert(snapshot->slot_count <= MU_SLOTS_MAX);
    struct entry *entry = malloc(sizeof(*entry));
    if (!entry)
        return mu_fail(
            log, MU_E0801, NULL, "no memory to save step %lld", (long long)snapshot->step);
    outgoing_init(&entry->model);
    outgoing_init(&entry->optimizer);
    outgoing_init(&entry->embedding);
    outgoing_init(&entry->residual);
    mu_manifest_init(&entry->manifest);
    mu_text_init(&entry->manifest_text);
    enum mu_status status = fill_entry(entry, log, snapshot);
    if (status == MU_NO_MEMORY)
        mu_say(log, MU_LEVEL_WARN, "no memory to save step %lld", (long long)snapshot->step);
    if (status == MU_OK)
        status = put_entry(store, log, entry);
    mu_text_finish(&entry->manifest_text);
    mu_manifest_finish(&entry->manifest);
    mu_text_finish(&entry->residual.header);
    mu_text_finish(&entry->embedding.header);
    mu_text_finish(&entry->optimizer.header);
    mu_text_finish(&entry->model.header);
    free(entry);
    if (status == MU_OK)
        drop_old(store, log, snapshot->step, keep);
    return status;
}
