/* SPDX-License-Identifier: Apache-2.0 */
#include "models/logistic.h"
#include "models/model_kinds.h"
#include "models/row_init.h"
#include "runtime/base/log.h"
#include "runtime/tensor/layout.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Wide & deep learning (Cheng et al. 2016). A row of the table is [wide weight, embedding]:
 *
 *   wide  = weight . features + sum over the entries of value * wide weight
 *   deep  = stack of layers over [value * embedding of field 0, of field 1, ..., features]
 *   logit = wide + deep              the bias is that of the last layer
 */
#define DIMENSION_MAX 1024
#define WIDTH_MAX (1 << 20)

struct options {
    int64_t dimension;
    struct mu_integers widths;
    double init_scale;
};

struct wide_deep {
    struct mu_logistic wide;
    struct mu_stack deep;
    size_t dimension, field_count;
    size_t stride; /* of a row of x */
    float *x;      /* (rows_max, inputs); after backward the gradient of its embeddings */
    struct mu_arena arena;
};

/* ---- layout and initial values ---- */

static enum mu_status row_width(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, size_t *ret_width)
{
    const struct options *of = options;
    if (facts->field_count == 0)
        return mu_fail(log, MU_E0204, "models of any number of entries: linear, factorization",
            "model `wide_deep` needs samples of one entry a field, which the data set has not");
    *ret_width = 1 + (size_t)of->dimension;
    return MU_OK;
}

static enum mu_status layout(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    const struct options *of = options;
    size_t width = 0;
    MU_TRY(mu_logistic_fits("wide_deep", facts, log));
    MU_TRY(row_width(options, facts, log, &width));
    struct mu_stack_shape shape = {.layer_count = of->widths.count + 1};
    shape.width[0] = facts->field_count * (width - 1) + facts->feature_count;
    for (int i = 0; i < of->widths.count; i++)
        shape.width[i + 1] = (size_t)of->widths.value[i];
    shape.width[shape.layer_count] = 1;
    mu_layout_init(ret_layout);
    if (!mu_logistic_layout(facts->feature_count, false, ret_layout) ||
        !mu_stack_layout(&shape, ret_layout))
        return mu_logistic_too_large("wide_deep", log);
    return MU_OK;
}

static void init(
    const void *options, const struct mu_layout *layout_of, uint64_t seed, float *parameters)
{
    (void)options;
    int views = mu_logistic_views(layout_of);
    memset(parameters, 0, layout_of->view[views].span.first * sizeof(float));
    mu_stack_draw(layout_of, views, seed, parameters);
}

static void init_row(const void *options, uint64_t seed, uint64_t id, size_t width, float *ret_row)
{
    mu_row_init(seed, id, ((const struct options *)options)->init_scale, width, ret_row);
}

/* ---- memory ---- */

static void destroy(void *model)
{
    struct wide_deep *self = model;
    if (!self)
        return;
    mu_arena_finish(&self->arena);
    mu_stack_finish(&self->deep);
    mu_logistic_finish(&self->wide);
    free(self);
}

static enum mu_status take_memory(struct wide_deep *self, const struct mu_layout *layout_of,
    struct mu_device *device, size_t rows_max)
{
    MU_TRY(mu_logistic_init(&self->wide, layout_of, device, rows_max));
    MU_TRY(mu_stack_init(&self->deep, layout_of, mu_logistic_views(layout_of), device, rows_max));
    size_t inputs = mu_stack_inputs(&self->deep);
    self->stride = (inputs + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
    self->field_count = (inputs - self->wide.feature_count) / self->dimension;
    MU_TRY(mu_arena_init(&self->arena, rows_max * self->stride));
    self->x = self->arena.data;
    return MU_OK;
}

static enum mu_status create(const void *options, const struct mu_layout *layout_of,
    struct mu_device *device, size_t rows_max, void **ret_model)
{
    struct wide_deep *self = calloc(1, sizeof(*self));
    if (!self)
        return MU_NO_MEMORY;
    self->dimension = (size_t)((const struct options *)options)->dimension;
    enum mu_status status = take_memory(self, layout_of, device, rows_max);
    if (status != MU_OK) {
        destroy(self);
        return status;
    }
    *ret_model = self;
    return MU_OK;
}

/* ---- forward ---- */

/* One row of x: its entries' embeddings, then the features. */
static void gather(const struct wide_deep *self, const struct mu_batch *batch, size_t row, float *x)
{
    const struct mu_entries *entries = &batch->entries;
    size_t dimension = self->dimension;
    assert(entries->first[row + 1] - entries->first[row] == self->field_count);
    for (size_t e = entries->first[row]; e < entries->first[row + 1]; e++, x += dimension) {
        const float *embedding = batch->rows.value + batch->rows.of_entry[e] * (1 + dimension) + 1;
        float value = entries->value[e];
        for (size_t k = 0; k < dimension; k++)
            x[k] = value * embedding[k];
    }
    if (batch->feature_count > 0)
        memcpy(
            x, batch->features + row * batch->feature_count, batch->feature_count * sizeof(float));
}

static void forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    struct wide_deep *self = model;
    mu_logistic_check(&self->wide, batch, 1 + self->dimension);
    mu_logistic_forward(&self->wide, parameters, batch);
    for (size_t i = 0; i < batch->row_count; i++)
        gather(self, batch, i, self->x + i * self->stride);
    const struct mu_stack_input input = {batch->row_count, self->stride, self->x};
    const float *deep = mu_stack_forward(&self->deep, parameters, &input, &self->wide.needs);
    for (size_t i = 0; i < batch->row_count; i++)
        self->wide.logits[i] += deep[i];
    mu_logistic_loss(&self->wide, batch, ret_loss);
}

static void watch(void *model, const struct mu_slice_listener *needs)
{
    mu_logistic_watch(&((struct wide_deep *)model)->wide, needs);
}

/* ---- backward ---- */

/* One row of the gradient of x back to its entries' embeddings. */
static void scatter(
    const struct wide_deep *self, const struct mu_batch *batch, size_t row, const float *dx)
{
    const struct mu_entries *entries = &batch->entries;
    size_t dimension = self->dimension;
    for (size_t e = entries->first[row]; e < entries->first[row + 1]; e++, dx += dimension) {
        float *embedding = batch->rows.gradient + batch->rows.of_entry[e] * (1 + dimension) + 1;
        float value = entries->value[e];
        for (size_t k = 0; k < dimension; k++)
            embedding[k] += value * dx[k];
    }
}

static void backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    struct wide_deep *self = model;
    size_t rows = batch->row_count;
    const struct mu_stack_input input = {rows, self->stride, self->x};
    mu_logistic_delta(&self->wide, rows, scale);
    if (rows > 0)
        memcpy(self->deep.delta, self->wide.delta, rows * sizeof(float));
    mu_stack_backward(&self->deep, parameters, &input, gradients, listener);
    mu_logistic_backward(&self->wide, batch, gradients, listener);
    mu_logistic_rows_backward(&self->wide, batch);
    if (rows == 0)
        return;
    mu_stack_input_gradient(
        &self->deep, parameters, rows, self->field_count * self->dimension, self->x, self->stride);
    for (size_t i = 0; i < rows; i++)
        scatter(self, batch, i, self->x + i * self->stride);
}

static const float *scores(const void *model)
{
    return ((const struct wide_deep *)model)->wide.logits;
}

static const struct mu_option rows_of_options[] = {
    {.name = "dimension",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, dimension),
        .min = 1,
        .max = DIMENSION_MAX,
        .fallback = "16",
        .doc = "numbers in the embedding of an id"},
    {.name = "widths",
        .type = MU_OPTION_INTEGERS,
        .offset = offsetof(struct options, widths),
        .min = 1,
        .max = WIDTH_MAX,
        .fallback = "[64, 32]",
        .doc = "of the hidden layers"},
    {.name = "init_scale",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, init_scale),
        .min = 0,
        .max = 1,
        .fallback = "0.01",
        .doc = "standard deviation of new embeddings"},
    {.name = NULL},
};

const struct mu_model_ops mu_wide_deep = {
    .name = "wide_deep",
    .doc = "a linear model beside a multilayer perceptron over embeddings of fields; two classes",
    .options = rows_of_options,
    .option_bytes = sizeof(struct options),
    .layout = layout,
    .init = init,
    .create = create,
    .destroy = destroy,
    .forward = forward,
    .watch = watch,
    .backward = backward,
    .row_width = row_width,
    .init_row = init_row,
    .scores = scores,
};
