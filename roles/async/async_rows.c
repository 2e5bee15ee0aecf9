/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/async/async_rows.h"
#include "roles/job/job_table.h"
#include "roles/replica_servers.h"
#include "runtime/device/kernels.h"
#include <stdlib.h>

/* ---- life ---- */

static enum mu_status allocate_held(struct mu_async_rows *rows, struct mu_held_batch *held)
{
    MU_TRY(mu_row_set_init(&held->set, rows->entry_max));
    held->of_entry = calloc(rows->entry_max + 1, sizeof(*held->of_entry));
    return held->of_entry ? MU_OK : MU_NO_MEMORY;
}

static enum mu_status allocate(struct mu_async_rows *rows)
{
    rows->memory = calloc((size_t)rows->in_flight, sizeof(*rows->memory));
    rows->held = calloc((size_t)rows->held_max, sizeof(*rows->held));
    if (!rows->memory || !rows->held)
        return MU_NO_MEMORY;
    for (int i = 0; i < rows->held_max; i++)
        MU_TRY(allocate_held(rows, &rows->held[i]));
    return mu_unique_init(&rows->unique, rows->entry_max);
}

enum mu_status mu_async_rows_open(struct mu_async_rows *rows, struct mu_replica *replica)
{
    const struct mu_job *job = replica->job;
    const struct mu_task_data *data = replica->run->data;
    int in_flight = (int)job->mode.in_flight;
    *rows = (struct mu_async_rows){
        .replica = replica, .in_flight = in_flight, .held_max = 2 * in_flight + 1};
    if (!job->model->row_width)
        return MU_OK;
    MU_TRY(
        job->model->row_width(job->model_options, &data->train_facts, replica->log, &rows->width));
    rows->entry_max = (size_t)job->data.batch * mu_task_entry_max(data);
    rows->split = mu_job_row_split(job, mu_task_id_count(data), replica->spec->ps_count);
    if (allocate(rows) == MU_OK)
        return MU_OK;
    return mu_fail(replica->log, MU_E0801, "a smaller data.batch needs less",
        "no memory for the %zu embedding rows that a batch may touch", rows->entry_max);
}

void mu_async_rows_close(struct mu_async_rows *rows)
{
    for (int i = 0; rows->held && i < rows->held_max; i++) {
        mu_row_set_finish(&rows->held[i].set);
        free(rows->held[i].of_entry);
    }
    mu_unique_finish(&rows->unique);
    free(rows->held);
    free(rows->memory);
    *rows = (struct mu_async_rows){0};
}

int mu_async_rows_ahead(const struct mu_async_rows *rows)
{
    return rows->width > 0 ? rows->in_flight : 0;
}

void mu_async_rows_share(struct mu_async_rows *rows)
{
    for (int i = 0; rows->width > 0 && i < rows->in_flight; i++)
        rows->memory[i] = mu_ps_client_row_memory(rows->replica->client, i);
}

void mu_async_rows_drop(struct mu_async_rows *rows)
{
    rows->first = rows->end = 0;
}

void mu_async_rows_forget(struct mu_async_rows *rows)
{
    for (int64_t batch = rows->first; batch < rows->end; batch++) {
        struct mu_held_batch *held = &rows->held[batch % rows->held_max];
        held->there = held->set.count == 0;
    }
}

/* ---- holding ---- */

static struct mu_held_batch *held_of(const struct mu_async_rows *rows, int64_t batch)
{
    assert(batch >= rows->first && batch < rows->end);
    return &rows->held[batch % rows->held_max];
}

/* Which rows a batch has. */
static void find(
    struct mu_async_rows *rows, struct mu_held_batch *held, const struct mu_batch *batch)
{
    size_t count = mu_batch_entry_count(batch);
    if (batch->different.of_entry)
        mu_row_set_take(&held->set, &rows->split, &batch->different, count, held->of_entry);
    else
        mu_row_set_find(
            &held->set, &rows->unique, &rows->split, batch->entries.id, count, held->of_entry);
    held->there = held->set.count == 0;
}

/* They are, or will be, in the memory of `slot`. */
static void show(const struct mu_async_rows *rows, const struct mu_held_batch *held, int slot,
    struct mu_batch *batch)
{
    batch->rows = (struct mu_rows){.count = held->set.count,
        .width = rows->width,
        .value = rows->memory[slot].values,
        .of_entry = held->of_entry,
        .gradient = rows->memory[slot].gradients};
}

/* Until `batch` is among those that are held. */
static enum mu_status hold(struct mu_async_rows *rows, int64_t batch)
{
    while (rows->end <= batch) {
        const struct mu_prefetch_batch *read;
        MU_TRY(mu_replica_next_batch(rows->replica, &read));
        assert(rows->end - rows->first <= rows->in_flight);
        struct mu_held_batch *held = &rows->held[rows->end++ % rows->held_max];
        held->batch = *read;
        find(rows, held, &held->batch.batch);
    }
    return MU_OK;
}

/* ---- looking ---- */

struct look {
    struct mu_async_rows *rows;
    struct mu_held_batch *held;
    int slot;
};

static enum mu_status run_look(struct mu_command *command)
{
    struct look *look = command->owner;
    struct mu_replica *replica = look->rows->replica;
    MU_TRY(replica->failed);
    int64_t since = mu_now(replica->world);
    enum mu_status status = mu_ps_client_look(replica->client, look->slot, &look->held->set,
        look->rows->memory[look->slot].values, mu_deadline(since, replica->run->timeouts.step_ns));
    return mu_replica_client_ended(replica, status, "embedding rows", since);
}

static enum mu_status look_up(struct mu_async_rows *rows, struct mu_held_batch *held, int slot)
{
    if (held->there)
        return MU_OK;
    struct look look = {.rows = rows, .held = held, .slot = slot};
    MU_TRY(mu_communicator_do(&rows->replica->communicator, run_look, &look));
    held->there = true;
    return MU_OK;
}

enum mu_status mu_async_rows_look(void *owner, struct mu_batch *batch)
{
    struct mu_async_rows *rows = owner;
    if (rows->width == 0)
        return MU_OK;
    find(rows, &rows->held[0], batch);
    show(rows, &rows->held[0], 0, batch);
    return look_up(rows, &rows->held[0], 0);
}

/* ---- training ---- */

enum mu_status mu_async_rows_next(
    struct mu_async_rows *rows, int slot, const struct mu_prefetch_batch **ret_batch)
{
    if (rows->width == 0)
        return mu_replica_next_batch(rows->replica, ret_batch);
    MU_TRY(hold(rows, rows->first));
    struct mu_held_batch *held = held_of(rows, rows->first);
    show(rows, held, slot, &held->batch.batch);
    *ret_batch = &held->batch;
    return look_up(rows, held, slot);
}

enum mu_status mu_async_rows_of_push(
    struct mu_async_rows *rows, int slot, bool wants, struct mu_ps_client_rows *ret_rows)
{
    *ret_rows = (struct mu_ps_client_rows){0};
    if (rows->width == 0)
        return MU_OK;
    int64_t next = rows->first + rows->in_flight;
    if (wants) {
        MU_TRY(hold(rows, next));
        ret_rows->wanted = &held_of(rows, next)->set;
        ret_rows->values = rows->memory[slot].values;
    }
    ret_rows->given = &held_of(rows, rows->first)->set;
    ret_rows->gradients = rows->memory[slot].gradients;
    return MU_OK;
}

enum mu_status mu_async_rows_prepare(struct mu_async_rows *rows)
{
    return rows->width > 0 ? hold(rows, rows->first + rows->in_flight) : MU_OK;
}

void mu_async_rows_came(struct mu_async_rows *rows, int64_t batch)
{
    int64_t next = batch + rows->in_flight;
    if (rows->width > 0 && next < rows->end)
        held_of(rows, next)->there = true;
}

void mu_async_rows_done(struct mu_async_rows *rows)
{
    mu_prefetch_done(rows->replica->prefetch);
    rows->first++;
}

double mu_async_rows_square_sum(const struct mu_async_rows *rows)
{
    if (rows->width == 0)
        return 0;
    const struct mu_held_batch *held = held_of(rows, rows->first);
    return mu_kernels()->square_sum(held->batch.batch.rows.gradient, held->set.count * rows->width);
}
