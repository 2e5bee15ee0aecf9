/* SPDX-License-Identifier: Apache-2.0 */
#include "models/logistic.h"
#include "models/model_kinds.h"
#include "models/row_init.h"
#include "runtime/tensor/layout.h"
#include <stdlib.h>
#include <string.h>

/*
 * Factorization machine (Rendle 2010). A row of the table is [weight, factors]; with x the value of
 * an entry and v the factors of its id:
 *
 *   logit = linear term + sum over pairs of entries of <v, v'> x x'
 *         = linear term + 1/2 sum over factors of ((sum of v x)^2 - sum of (v x)^2)
 *
 * Where each row is a pair of ids, a user's and an item's, this is matrix factorization with
 * biases.
 */
#define DIMENSION_MAX 1024

struct options {
    int64_t dimension;
    double init_scale;
};

struct machine {
    struct mu_logistic linear;
    size_t dimension;
    float *sums;    /* (rows_max, dimension): of v x over the entries of a row */
    float *squares; /* (dimension): of (v x)^2, of the row at hand */
    struct mu_arena arena;
};

/* ---- layout and initial values ---- */

static enum mu_status layout(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    (void)options;
    return mu_logistic_alone("factorization", facts, log, ret_layout);
}

static enum mu_status row_width(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, size_t *ret_width)
{
    (void)facts;
    (void)log;
    *ret_width = 1 + (size_t)((const struct options *)options)->dimension;
    return MU_OK;
}

static void init_row(const void *options, uint64_t seed, uint64_t id, size_t width, float *ret_row)
{
    mu_row_init(seed, id, ((const struct options *)options)->init_scale, width, ret_row);
}

/* ---- memory ---- */

static void destroy(void *model)
{
    struct machine *machine = model;
    if (!machine)
        return;
    mu_arena_finish(&machine->arena);
    mu_logistic_finish(&machine->linear);
    free(machine);
}

static enum mu_status take_memory(struct machine *machine, const struct mu_layout *layout_of,
    struct mu_device *device, size_t rows_max)
{
    MU_TRY(mu_logistic_init(&machine->linear, layout_of, device, rows_max));
    MU_TRY(mu_arena_init(&machine->arena, (rows_max + 1) * machine->dimension));
    machine->squares = machine->arena.data;
    machine->sums = machine->squares + machine->dimension;
    return MU_OK;
}

static enum mu_status create(const void *options, const struct mu_layout *layout_of,
    struct mu_device *device, size_t rows_max, void **ret_model)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    if (!machine)
        return MU_NO_MEMORY;
    machine->dimension = (size_t)((const struct options *)options)->dimension;
    enum mu_status status = take_memory(machine, layout_of, device, rows_max);
    if (status != MU_OK) {
        destroy(machine);
        return status;
    }
    *ret_model = machine;
    return MU_OK;
}

/* ---- forward ---- */

/* What the pairs of a row add to its logit; leaves the sums for backward. */
static float pairs_of_row(struct machine *machine, const struct mu_batch *batch, size_t row)
{
    const struct mu_entries *entries = &batch->entries;
    size_t dimension = machine->dimension;
    float *restrict sums = machine->sums + row * dimension;
    float *restrict squares = machine->squares;
    memset(sums, 0, dimension * sizeof(float));
    memset(squares, 0, dimension * sizeof(float));
    for (size_t e = entries->first[row]; e < entries->first[row + 1]; e++) {
        const float *restrict factors =
            batch->rows.value + batch->rows.of_entry[e] * (1 + dimension) + 1;
        float value = entries->value[e];
        for (size_t k = 0; k < dimension; k++) {
            float term = value * factors[k];
            sums[k] += term;
            squares[k] += term * term;
        }
    }
    float twice = 0;
    for (size_t k = 0; k < dimension; k++)
        twice += sums[k] * sums[k] - squares[k];
    return twice / 2;
}

static void forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    struct machine *machine = model;
    mu_logistic_check(&machine->linear, batch, 1 + machine->dimension);
    mu_logistic_forward(&machine->linear, parameters, batch);
    if (batch->entries.first)
        for (size_t i = 0; i < batch->row_count; i++)
            machine->linear.logits[i] += pairs_of_row(machine, batch, i);
    mu_logistic_loss(&machine->linear, batch, ret_loss);
}

static void watch(void *model, const struct mu_slice_listener *needs)
{
    mu_logistic_watch(&((struct machine *)model)->linear, needs);
}

/* ---- backward ---- */

/* d(logit)/d(v) = x * (sum of the row - v x) */
static void pairs_backward(const struct machine *machine, const struct mu_batch *batch, size_t row)
{
    const struct mu_entries *entries = &batch->entries;
    size_t dimension = machine->dimension;
    const float *restrict sums = machine->sums + row * dimension;
    for (size_t e = entries->first[row]; e < entries->first[row + 1]; e++) {
        size_t at = batch->rows.of_entry[e] * (1 + dimension) + 1;
        const float *restrict factors = batch->rows.value + at;
        float *restrict gradient = batch->rows.gradient + at;
        float value = entries->value[e], by = machine->linear.delta[row] * value;
        for (size_t k = 0; k < dimension; k++)
            gradient[k] += by * (sums[k] - value * factors[k]);
    }
}

static void backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    (void)parameters;
    struct machine *machine = model;
    mu_logistic_delta(&machine->linear, batch->row_count, scale);
    mu_logistic_backward(&machine->linear, batch, gradients, listener);
    mu_logistic_rows_backward(&machine->linear, batch);
    if (batch->entries.first)
        for (size_t i = 0; i < batch->row_count; i++)
            pairs_backward(machine, batch, i);
}

static const float *scores(const void *model)
{
    return ((const struct machine *)model)->linear.logits;
}

static const struct mu_option rows_of_options[] = {
    {.name = "dimension",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, dimension),
        .min = 1,
        .max = DIMENSION_MAX,
        .fallback = "8",
        .doc = "factors of an id"},
    {.name = "init_scale",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, init_scale),
        .min = 0,
        .max = 1,
        .fallback = "0.01",
        .doc = "standard deviation of new factors"},
    {.name = NULL},
};

const struct mu_model_ops mu_factorization = {
    .name = "factorization",
    .doc = "factorization machine: every pair of entries counts; with two ids a row this is matrix "
           "factorization; two classes",
    .options = rows_of_options,
    .option_bytes = sizeof(struct options),
    .layout = layout,
    .init = mu_logistic_zeros,
    .create = create,
    .destroy = destroy,
    .forward = forward,
    .watch = watch,
    .backward = backward,
    .row_width = row_width,
    .init_row = init_row,
    .scores = scores,
};
