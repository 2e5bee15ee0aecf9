/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_store.h"
#include "runtime/optim/rows.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum mu_status make_table(struct mu_row_store *store)
{
    const struct mu_row_store_options *options = &store->options;
    const struct mu_table_options table = {
        .width = options->width,
        .slot_count = options->optimizer->slot_count,
        .has_own = options->adapts,
        .row_limit = options->row_limit,
        .dense_ids = options->dense_ids,
        .order = options->order,
        .server_count = options->server_count,
        .by_range = options->by_range,
        .seed = options->seed,
        .init_row = options->init_row,
        .owner = options->owner,
    };
    return mu_table_create(&table, &store->table);
}

static size_t rows_max(const struct mu_row_store_options *options)
{
    return mu_row_store_step_max(options) + 1;
}

static enum mu_status allocate(struct mu_row_store *store)
{
    const struct mu_row_store_options *options = &store->options;
    size_t rows = rows_max(options);
    MU_TRY(make_table(store));
    store->row = calloc(rows, sizeof(*store->row));
    store->there = calloc(options->push_max + 1, sizeof(*store->there));
    if (!store->row || !store->there)
        return MU_NO_MEMORY;
    if (options->gather_max == 0)
        return MU_OK;
    MU_TRY(mu_unique_init(&store->gathered, rows));
    mu_unique_clear(&store->gathered);
    store->sums = calloc(rows, options->width * sizeof(*store->sums));
    return store->sums ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_row_store_init(
    struct mu_row_store *store, const struct mu_row_store_options *options)
{
    *store = (struct mu_row_store){.options = *options};
    assert(options->row_limit == 0 || options->row_limit >= mu_row_store_step_max(options));
    enum mu_status status = allocate(store);
    if (status != MU_OK)
        mu_row_store_finish(store);
    return status;
}

uint64_t mu_row_store_bytes(const struct mu_row_store *store)
{
    const struct mu_row_store_options *options = &store->options;
    size_t sums = store->sums ? options->width * sizeof(*store->sums) : 0;
    return rows_max(options) * (sizeof(*store->row) + sums) +
           (options->push_max + 1) * sizeof(*store->there) + mu_unique_bytes(&store->gathered);
}

void mu_row_store_finish(struct mu_row_store *store)
{
    mu_table_destroy(store->table);
    mu_unique_finish(&store->gathered);
    free(store->row);
    free(store->there);
    free(store->sums);
    *store = (struct mu_row_store){0};
}

enum mu_status mu_row_store_apply(struct mu_row_store *store, const uint64_t *ids, size_t count,
    const float *gradients, const struct mu_row_step *step)
{
    return mu_row_store_apply_where(store, ids, NULL, count, gradients, step);
}

/* Of the rows that were found: the optimizer's step. */
static void step_rows(struct mu_row_store *store, size_t count, const float *gradients,
    const struct mu_row_step *step, float gradient_scale)
{
    const struct mu_row_store_options *options = &store->options;
    const struct mu_optim_rows touched = {
        .count = count,
        .width = options->width,
        .row = store->row,
        .gradients = gradients,
        .learning_rate = step->learning_rate,
        .weight_decay = options->weight_decay,
        .gradient_scale = gradient_scale,
        .step = step->step,
    };
    mu_optim_step_rows(options->optimizer, options->optimizer_options, &touched);
}

enum mu_status mu_row_store_apply_where(struct mu_row_store *store, const uint64_t *ids,
    const uint32_t *where, size_t count, const float *gradients, const struct mu_row_step *step)
{
    if (count == 0)
        return MU_OK;
    MU_TRY(mu_table_rows_where(store->table, ids, where, count, store->row));
    step_rows(store, count, gradients, step, step->gradient_scale);
    return MU_OK;
}

static void correct_rows(struct mu_row_store *store, size_t count, float *gradients, float scale,
    const struct mu_row_correction *correction)
{
    size_t width = store->options.width, own_at = mu_table_stride(store->table);
    for (size_t i = 0; i < count; i++) {
        const struct mu_correct_block block = {
            .count = width,
            .gradients = gradients + i * width,
            .scale = scale,
            .parameters = store->row[i],
            .seen = correction->seen[i],
            .mean_square = store->options.adapts ? store->row[i] + own_at : NULL,
        };
        correction->correct(correction->options, &block);
    }
}

enum mu_status mu_row_store_apply_corrected(struct mu_row_store *store, const uint64_t *ids,
    const uint32_t *where, size_t count, float *gradients, const struct mu_row_step *step,
    const struct mu_row_correction *correction)
{
    if (!correction || count == 0)
        return mu_row_store_apply_where(store, ids, where, count, gradients, step);
    MU_TRY(mu_table_rows_where(store->table, ids, where, count, store->row));
    correct_rows(store, count, gradients, step->gradient_scale, correction);
    step_rows(store, count, gradients, step, 1);
    return MU_OK;
}

/* A row's sum begins as zeros, as that of a span does. */
void mu_row_store_gather(struct mu_row_store *store, const uint64_t *ids, size_t count,
    const float *gradients, float scale)
{
    size_t width = store->options.width;
    assert(store->sums);
    for (size_t i = 0; i < count; i++) {
        size_t before = store->gathered.count;
        float *sum = store->sums + mu_unique_add(&store->gathered, ids[i]) * width;
        if (store->gathered.count > before)
            memset(sum, 0, width * sizeof(*sum));
        for (size_t j = 0; j < width; j++)
            sum[j] += scale * gradients[i * width + j];
    }
}

enum mu_status mu_row_store_apply_gathered(
    struct mu_row_store *store, const struct mu_row_step *step)
{
    MU_TRY(mu_row_store_apply(store, store->gathered.id, store->gathered.count, store->sums, step));
    mu_unique_clear(&store->gathered);
    return MU_OK;
}

void mu_row_store_read_where(struct mu_row_store *store, const uint64_t *ids, size_t count,
    float *ret_values, uint32_t *ret_where)
{
    size_t width = store->options.width;
    assert(count <= store->options.push_max);
    mu_table_look_where(store->table, ids, count, store->there, ret_where);
    for (size_t i = 0; i < count; i++) {
        float *value = ret_values + i * width;
        if (store->there[i])
            memcpy(value, store->there[i], width * sizeof(*value));
        else
            mu_table_fresh_row(store->table, ids[i], value);
    }
}
