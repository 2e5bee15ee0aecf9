/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_rows.h"
#include "ps/table/row_piece.h"
#include "ps/table/table_room.h"
#include "ps/table/table_save.h"
#include "roles/job/job_table.h"
#include <stdlib.h>
#include <string.h>

static size_t record_bytes(const struct mu_audit_rows *rows)
{
    return sizeof(uint64_t) + rows->store.options.width * sizeof(float);
}

static enum mu_status allocate(
    struct mu_audit_rows *rows, const struct mu_row_store_options *options)
{
    bool all;
    MU_TRY(mu_row_store_init(&rows->store, options));
    MU_TRY(mu_table_lay(rows->store.table, SIZE_MAX, &all));
    rows->given_bytes_max = options->push_max * record_bytes(rows);
    rows->given = malloc(rows->given_bytes_max + 1);
    rows->seen_of = calloc(options->push_max + 1, sizeof(*rows->seen_of));
    MU_TRY(mu_unique_init(&rows->unique, options->push_max));
    return rows->given && rows->seen_of ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_audit_rows_init(struct mu_audit_rows *rows, const struct mu_audit_header *header,
    const struct mu_ps_plan *modes, struct mu_log *log)
{
    struct mu_ps_rows_options table;
    const struct mu_job *job = header->job;
    *rows = (struct mu_audit_rows){.order = header->order,
        .split = mu_job_row_split(job, header->facts.id_count, header->server_count)};
    MU_TRY(mu_job_table(job, &header->facts, header->server_count, log, &table));
    if (table.width == 0)
        return MU_OK;
    const struct mu_row_store_options options = {
        .width = table.width,
        .push_max = table.push_max,
        .gather_max = (size_t)mu_ps_plan_gathered_max(modes),
        .row_limit = table.row_limit,
        .dense_ids = table.dense ? table.id_count : 0,
        .order = rows->order,
        .server_count = header->server_count,
        .by_range = table.by_range,
        .seed = table.seed,
        .init_row = table.init_row,
        .owner = table.owner,
        .optimizer = job->optimizer,
        .optimizer_options = job->optimizer_options,
        .weight_decay = (float)job->optim.weight_decay,
        .adapts = mu_ps_plan_adapts(modes),
    };
    if (options.row_limit > 0 && options.row_limit < mu_row_store_step_max(&options))
        return mu_fail(log, MU_E0608, NULL,
            "the log of ps/%d has a mode.row_limit below what one step may touch", rows->order);
    const struct mu_table_room room = {
        .rows = options.dense_ids / (uint64_t)header->server_count,
        .stride = options.width * (size_t)(1 + options.optimizer->slot_count + options.adapts),
        .dense = true,
        .tables = 1,
    };
    MU_TRY(mu_table_room_check(&room, log,
        "ps/%d: %llu dense embedding rows of %zu floats, slots included,", rows->order,
        (unsigned long long)room.rows, room.stride));
    if (allocate(rows, &options) == MU_OK)
        return MU_OK;
    return mu_fail(log, MU_E0801, NULL, "no memory for the embedding rows of ps/%d", rows->order);
}

void mu_audit_rows_finish(struct mu_audit_rows *rows)
{
    mu_row_store_finish(&rows->store);
    mu_unique_finish(&rows->unique);
    mu_audit_seen_rows_finish(&rows->seen);
    free(rows->seen_of);
    free(rows->given);
    *rows = (struct mu_audit_rows){0};
}

static bool are_ours(const struct mu_audit_rows *rows, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (mu_row_split_server(&rows->split, ids[i]) != rows->order ||
            !mu_table_takes(rows->store.table, ids[i]))
            return false;
    return true;
}

static enum mu_status no_memory(const struct mu_audit_rows *rows, struct mu_log *log)
{
    return mu_fail(log, MU_E0801, NULL, "no memory for the embedding rows of ps/%d", rows->order);
}

/* ---- the beginning ---- */

static enum mu_status restore_piece(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, struct mu_row_piece *piece)
{
    size_t bytes = mu_audit_reader_bytes(reader);
    piece->count = mu_row_piece_count(piece, bytes);
    if (piece->count == 0 || piece->count == SIZE_MAX)
        return mu_audit_reader_fail(reader, "the record has no number of rows");
    MU_TRY(mu_audit_reader_payload(reader, piece->data, bytes));
    const uint64_t *ids = mu_row_piece_ids(piece);
    if (!are_ours(rows, ids, piece->count))
        return mu_audit_reader_fail(reader, "the record has rows of another server");
    for (size_t i = 0; i < piece->count; i++)
        if (mu_table_put(rows->store.table, ids[i], mu_row_piece_rows(piece) + i * piece->stride) !=
            MU_OK)
            return no_memory(rows, reader->log);
    return MU_OK;
}

static enum mu_status restore_pieces(struct mu_audit_rows *rows, struct mu_audit_reader *reader,
    struct mu_row_piece *piece, uint64_t count, int64_t version)
{
    struct mu_audit_record record;
    for (uint64_t done = 0; done < count; done += piece->count) {
        MU_TRY(mu_audit_reader_next(reader, &record));
        if (record.kind != MU_AUDIT_ROWS || record.version != version)
            return mu_audit_reader_fail(reader, "rows of version %lld belong here, %llu of %llu",
                (long long)version, (unsigned long long)(count - done), (unsigned long long)count);
        MU_TRY(restore_piece(rows, reader, piece));
    }
    const struct mu_table_counts counts = mu_table_count(rows->store.table);
    if (counts.rows != count || counts.evicted > 0)
        return mu_audit_reader_fail(reader, "the log begins with %llu different rows, and not %llu",
            (unsigned long long)counts.rows, (unsigned long long)count);
    return MU_OK;
}

enum mu_status mu_audit_rows_restore(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, uint64_t count, int64_t version)
{
    struct mu_row_piece piece;
    if (!rows->store.table)
        return count == 0 ? MU_OK
                          : mu_audit_reader_fail(reader,
                                "the log begins with embedding rows, and its model has none");
    if (mu_row_piece_init(&piece, mu_table_stride(rows->store.table)) != MU_OK)
        return no_memory(rows, reader->log);
    enum mu_status status = restore_pieces(rows, reader, &piece, count, version);
    mu_row_piece_finish(&piece);
    return status;
}

/* ---- records ---- */

static uint64_t *ids_of(const struct mu_audit_rows *rows)
{
    return (uint64_t *)(void *)rows->given;
}

static float *gradients_of(const struct mu_audit_rows *rows)
{
    return (float *)(void *)(rows->given + rows->given_count * sizeof(uint64_t));
}

enum mu_status mu_audit_rows_given(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, const void *payload, size_t bytes)
{
    rows->given_count = bytes / record_bytes(rows);
    if (rows->given_count * record_bytes(rows) != bytes || bytes > rows->given_bytes_max)
        return mu_audit_reader_fail(
            reader, "the record's payload is not a gradient, with or without rows");
    if (bytes == 0)
        return MU_OK;
    memcpy(rows->given, payload, bytes);
    if (!are_ours(rows, ids_of(rows), rows->given_count) ||
        !mu_unique_are(&rows->unique, ids_of(rows), rows->given_count))
        return mu_audit_reader_fail(
            reader, "the gradient has rows of another server, or one twice");
    return MU_OK;
}

static struct mu_row_step step_of(
    const struct mu_audit_record *record, double gradient_scale, int64_t version)
{
    return (struct mu_row_step){.learning_rate = (float)record->learning_rate,
        .gradient_scale = (float)gradient_scale,
        .step = version + 1};
}

/* As the server corrected them: all rows of the gradient. */
static enum mu_status apply_corrected(struct mu_audit_rows *rows, struct mu_audit_reader *reader,
    const struct mu_audit_record *record, const struct mu_ps_phase *phase,
    const struct mu_row_step *step)
{
    const float *seen = mu_audit_seen_rows_take(&rows->seen, record->seen, reader->at);
    const struct mu_row_correction correction = {
        .correct = phase->policy->correct, .options = phase->policy_options, .seen = rows->seen_of};
    if (!seen || record->verdict != MU_VERDICT_CORRECT)
        return mu_audit_reader_fail(reader,
            "its embedding rows were corrected by version %lld, which is not in this log",
            (long long)record->seen);
    for (size_t i = 0; i < rows->given_count; i++)
        rows->seen_of[i] = seen + i * rows->store.options.width;
    return mu_row_store_apply_corrected(
        &rows->store, ids_of(rows), NULL, rows->given_count, gradients_of(rows), step, &correction);
}

enum mu_status mu_audit_rows_apply(struct mu_audit_rows *rows, struct mu_audit_reader *reader,
    const struct mu_audit_record *record, const struct mu_ps_phase *phase, int64_t version)
{
    const struct mu_row_step step = step_of(record, record->weight, version);
    if (rows->corrects)
        return apply_corrected(rows, reader, record, phase, &step);
    return mu_row_store_apply(
        &rows->store, ids_of(rows), rows->given_count, gradients_of(rows), &step);
}

enum mu_status mu_audit_rows_keep(
    struct mu_audit_rows *rows, struct mu_audit_reader *reader, int64_t version)
{
    return rows->store.table ? mu_audit_seen_rows_keep(&rows->seen, reader, &rows->store, version)
                             : MU_OK;
}

void mu_audit_rows_gather(struct mu_audit_rows *rows, const struct mu_audit_record *record)
{
    mu_row_store_gather(
        &rows->store, ids_of(rows), rows->given_count, gradients_of(rows), (float)record->weight);
}

enum mu_status mu_audit_rows_apply_gathered(
    struct mu_audit_rows *rows, const struct mu_audit_record *record, int64_t version, int gathered)
{
    if (!rows->store.table)
        return MU_OK;
    float scale = 1 / (float)gathered; /* as the server has it */
    const struct mu_row_step step = step_of(record, (double)scale, version);
    return mu_row_store_apply_gathered(&rows->store, &step);
}
