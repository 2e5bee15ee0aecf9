/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/own_rows.h"
#include "ps/table/table_room.h"
#include "ps/table/table_save.h"
#include "roles/job/job_table.h"
#include "runtime/base/log.h"
#include "runtime/device/kernels.h"
#include "runtime/optim/rows.h"
#include <stdlib.h>
#include <string.h>

void mu_own_rows_init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    const struct mu_job *job = owner;
    job->model->init_row(job->model_options, seed, id, width, ret_parameters);
}

static enum mu_status make_table(struct mu_own_rows *rows)
{
    const struct mu_job *job = rows->job;
    const struct mu_table_options options = {
        .width = rows->width,
        .slot_count = rows->slot_count,
        .seed = (uint64_t)job->train.seed,
        .row_limit = (size_t)job->mode.row_limit,
        .dense_ids = rows->dense_ids,
        .init_row = mu_own_rows_init_row,
        .owner = job,
    };
    bool all;
    MU_TRY(mu_table_create(&options, &rows->table));
    return mu_table_lay(rows->table, SIZE_MAX, &all);
}

static enum mu_status check_dense(const struct mu_own_rows *rows)
{
    const struct mu_table_room room = {
        .rows = rows->dense_ids,
        .stride = rows->width * (size_t)(1 + rows->slot_count),
        .dense = true,
        .tables = 1,
        .help = "leave out mode.rows: rows begin at first touch then",
    };
    return mu_table_room_check(&room, rows->log,
        "%llu dense embedding rows of %zu floats, slots included,", (unsigned long long)room.rows,
        room.stride);
}

static enum mu_status allocate(struct mu_own_rows *rows, size_t entries)
{
    MU_TRY(make_table(rows));
    MU_TRY(mu_unique_init(&rows->unique, entries));
    rows->of_entry = calloc(entries, sizeof(*rows->of_entry));
    rows->row = calloc(entries, sizeof(*rows->row));
    rows->there = calloc(entries, sizeof(*rows->there));
    rows->value = calloc(entries * rows->width, sizeof(*rows->value));
    rows->gradient = calloc(entries * rows->width, sizeof(*rows->gradient));
    return rows->of_entry && rows->row && rows->there && rows->value && rows->gradient
               ? MU_OK
               : MU_NO_MEMORY;
}

static enum mu_status open_rows(struct mu_own_rows *rows, const struct mu_dataset_facts *facts,
    size_t row_max, struct mu_log *log)
{
    const struct mu_job *job = rows->job;
    if (!job->model->row_width)
        return MU_OK;
    MU_TRY(job->model->row_width(job->model_options, facts, log, &rows->width));
    MU_TRY(check_dense(rows));
    size_t entries = row_max * facts->entry_max;
    if (job->mode.row_limit > 0 && (size_t)job->mode.row_limit < entries)
        return mu_fail(log, MU_E0204, "use a larger mode.row_limit, or a smaller data.batch",
            "mode.row_limit keeps %lld embedding rows; one batch may touch %zu",
            (long long)job->mode.row_limit, entries);
    if (allocate(rows, entries) == MU_OK)
        return MU_OK;
    return mu_fail(log, MU_E0801, "a smaller data.batch needs less",
        "no memory for the %zu embedding rows that a batch may touch", entries);
}

enum mu_status mu_own_rows_open(struct mu_own_rows *rows, const struct mu_job *job,
    const struct mu_dataset_facts *facts, size_t row_max, struct mu_log *log)
{
    *rows = (struct mu_own_rows){.job = job, .log = log, .slot_count = job->optimizer->slot_count};
    if (job->model->row_width)
        MU_TRY(mu_job_table_check(job, facts, log));
    if (job->mode.rows == MU_ROWS_DENSE)
        rows->dense_ids = facts->id_count;
    return open_rows(rows, facts, row_max, log);
}

enum mu_status mu_own_rows_open_for_eval(struct mu_own_rows *rows, const struct mu_job *job,
    const struct mu_dataset_facts *facts, size_t row_max, struct mu_log *log)
{
    *rows = (struct mu_own_rows){.job = job, .log = log};
    return open_rows(rows, facts, row_max, log);
}

void mu_own_rows_close(struct mu_own_rows *rows)
{
    mu_table_destroy(rows->table);
    mu_unique_finish(&rows->unique);
    free(rows->of_entry);
    free(rows->row);
    free(rows->there);
    free(rows->value);
    free(rows->gradient);
    *rows = (struct mu_own_rows){0};
}

static struct mu_ids find_different(struct mu_own_rows *rows, const struct mu_batch *batch)
{
    mu_unique_find(&rows->unique, batch->entries.id, mu_batch_entry_count(batch), rows->of_entry);
    return (struct mu_ids){
        .count = rows->unique.count, .id = rows->unique.id, .of_entry = rows->of_entry};
}

static void find(struct mu_own_rows *rows, struct mu_batch *batch)
{
    bool found = batch->different.of_entry != NULL;
    rows->different = found ? batch->different : find_different(rows, batch);
    batch->rows = (struct mu_rows){.count = rows->different.count,
        .width = rows->width,
        .value = rows->value,
        .of_entry = rows->different.of_entry,
        .gradient = rows->gradient};
}

enum mu_status mu_own_rows_bring(
    struct mu_own_rows *rows, struct mu_batch *batch, struct mu_log *log)
{
    if (rows->width == 0)
        return MU_OK;
    find(rows, batch);
    const struct mu_ids *ids = &rows->different;
    if (mu_table_rows(rows->table, ids->id, ids->count, rows->row) != MU_OK)
        return mu_fail(log, MU_E0801, NULL, "no memory for more embedding rows than %llu",
            (unsigned long long)mu_table_count(rows->table).rows);
    for (size_t i = 0; i < ids->count; i++)
        memcpy(rows->value + i * rows->width, rows->row[i], rows->width * sizeof(float));
    return MU_OK;
}

enum mu_status mu_own_rows_look(void *owner, struct mu_batch *batch)
{
    struct mu_own_rows *rows = owner;
    if (rows->width == 0)
        return MU_OK;
    find(rows, batch);
    const struct mu_ids *ids = &rows->different;
    mu_table_look(rows->table, ids->id, ids->count, rows->there);
    for (size_t i = 0; i < ids->count; i++) {
        float *value = rows->value + i * rows->width;
        if (rows->there[i])
            memcpy(value, rows->there[i], rows->width * sizeof(float));
        else
            mu_table_fresh_row(rows->table, ids->id[i], value);
    }
    return MU_OK;
}

int64_t mu_own_rows_count(const struct mu_own_rows *rows)
{
    return rows->table ? (int64_t)mu_table_count(rows->table).rows : -1;
}

void mu_own_rows_update(struct mu_own_rows *rows, const struct mu_optim_step *step)
{
    const struct mu_job *job = rows->job;
    if (rows->width == 0)
        return;
    const struct mu_optim_rows touched = {
        .count = rows->different.count,
        .width = rows->width,
        .row = rows->row,
        .gradients = rows->gradient,
        .learning_rate = step->learning_rate,
        .weight_decay = step->weight_decay,
        .gradient_scale = step->gradient_scale,
        .step = step->step,
    };
    mu_optim_step_rows(job->optimizer, job->optimizer_options, &touched);
}

double mu_own_rows_square_sum(const struct mu_own_rows *rows)
{
    size_t count = rows->different.count * rows->width;
    return rows->width == 0 ? 0 : mu_kernels()->square_sum(rows->gradient, count);
}

/* ---- checkpoints ---- */

struct sorted {
    struct mu_table_entry *entries;
    size_t next;
};

static const float *next_row(void *owner, uint64_t *ret_id)
{
    struct sorted *sorted = owner;
    const struct mu_table_entry *entry = &sorted->entries[sorted->next++];
    *ret_id = entry->id;
    return entry->row;
}

enum mu_status mu_own_rows_save(const struct mu_own_rows *rows, struct mu_saved_rows *saved)
{
    struct sorted sorted = {.next = 0};
    MU_TRY(mu_table_sorted(rows->table, &sorted.entries));
    const struct mu_row_reader reader = {
        .count = mu_table_count(rows->table).rows, .next = next_row, .owner = &sorted};
    enum mu_status status = mu_saved_rows_fill(saved, &reader);
    free(sorted.entries);
    return status;
}

enum mu_status mu_own_rows_put(void *owner, uint64_t id, const float *row)
{
    struct mu_own_rows *rows = owner;
    if (!mu_table_takes(rows->table, id))
        return mu_fail(rows->log, MU_E0204, "leave out mode.rows: rows begin at first touch then",
            "the checkpoint has an embedding row with id %llu, and the data has %llu ids",
            (unsigned long long)id, (unsigned long long)rows->dense_ids);
    return mu_table_put(rows->table, id, row);
}

enum mu_status mu_own_rows_clear(struct mu_own_rows *rows)
{
    if (rows->width == 0)
        return MU_OK;
    mu_table_destroy(rows->table);
    rows->table = NULL;
    return make_table(rows);
}

enum mu_status mu_own_rows_crc32c(const struct mu_own_rows *rows, uint32_t *crc)
{
    return rows->width > 0 ? mu_table_crc32c(rows->table, crc) : MU_OK;
}
