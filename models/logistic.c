/* SPDX-License-Identifier: Apache-2.0 */
#include "models/logistic.h"
#include "runtime/base/log.h"
#include "runtime/tensor/layout.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- layout and memory ---- */

static const char weight_name[] = "linear/weight", bias_name[] = "linear/bias";

enum mu_status mu_logistic_fits(
    const char *name, const struct mu_dataset_facts *facts, struct mu_log *log)
{
    if (facts->class_count == 2)
        return MU_OK;
    return mu_fail(log, MU_E0204, "models of more classes: softmax, mlp",
        "model `%s` tells two classes apart, but the data set has %zu", name, facts->class_count);
}

enum mu_status mu_logistic_too_large(const char *name, struct mu_log *log)
{
    return mu_fail(log, MU_E0203, NULL, "model `%s` asks for more parameters than can be", name);
}

bool mu_logistic_layout(size_t feature_count, bool bias, struct mu_layout *layout)
{
    const int64_t features = (int64_t)feature_count, one = 1;
    if (feature_count > 0 && !mu_layout_add(layout, weight_name, 1, &features))
        return false;
    return !bias || mu_layout_add(layout, bias_name, 1, &one);
}

enum mu_status mu_logistic_alone(const char *name, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    MU_TRY(mu_logistic_fits(name, facts, log));
    mu_layout_init(ret_layout);
    return mu_logistic_layout(facts->feature_count, true, ret_layout)
               ? MU_OK
               : mu_logistic_too_large(name, log);
}

void mu_logistic_zeros(
    const void *options, const struct mu_layout *layout, uint64_t seed, float *parameters)
{
    (void)options;
    (void)seed;
    memset(parameters, 0, layout->element_count * sizeof(float));
}

static const struct mu_view *view_at(const struct mu_layout *layout, int index, const char *name)
{
    bool is = index < layout->view_count && strcmp(layout->view[index].name, name) == 0;
    return is ? &layout->view[index] : NULL;
}

int mu_logistic_views(const struct mu_layout *layout)
{
    int weights = view_at(layout, 0, weight_name) ? 1 : 0;
    return weights + (view_at(layout, weights, bias_name) ? 1 : 0);
}

enum mu_status mu_logistic_init(struct mu_logistic *logistic, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max)
{
    *logistic = (struct mu_logistic){.device = device, .rows_max = rows_max};
    const struct mu_view *weight = view_at(layout, 0, weight_name);
    const struct mu_view *bias = view_at(layout, weight ? 1 : 0, bias_name);
    int views = mu_logistic_views(layout);
    logistic->feature_count = weight ? weight->span.count : 0;
    logistic->weight = weight ? weight->span.first : 0;
    logistic->has_bias = bias != NULL;
    logistic->bias = bias ? bias->span.first : 0;
    logistic->end =
        views < layout->view_count ? layout->view[views].span.first : layout->element_count;
    MU_TRY(mu_arena_init(&logistic->arena, 3 * rows_max));
    logistic->logits = logistic->arena.data;
    logistic->error = logistic->logits + rows_max;
    logistic->delta = logistic->error + rows_max;
    return MU_OK;
}

void mu_logistic_finish(struct mu_logistic *logistic)
{
    mu_arena_finish(&logistic->arena);
}

/* ---- forward ---- */

void mu_logistic_check(
    const struct mu_logistic *logistic, const struct mu_batch *batch, size_t width)
{
    assert(batch->row_count <= logistic->rows_max);
    assert(batch->row_count == 0 || batch->feature_count == logistic->feature_count);
    assert(batch->rows.count == 0 || batch->rows.width == width);
}

void mu_logistic_watch(struct mu_logistic *logistic, const struct mu_slice_listener *needs)
{
    logistic->needs = needs ? *needs : (struct mu_slice_listener){0};
}

static void add_entries(float *logits, const struct mu_batch *batch)
{
    const struct mu_entries *entries = &batch->entries;
    const float *table = batch->rows.value, *value = entries->value;
    const uint32_t *of_entry = batch->rows.of_entry;
    size_t width = batch->rows.width;
    for (size_t i = 0; i < batch->row_count; i++) {
        float sum = 0;
        for (size_t e = entries->first[i]; e < entries->first[i + 1]; e++)
            sum += value[e] * table[of_entry[e] * width];
        logits[i] += sum;
    }
}

void mu_logistic_forward(
    struct mu_logistic *logistic, const float *parameters, const struct mu_batch *batch)
{
    if (logistic->end > 0)
        mu_stack_announce(&logistic->needs, 0, logistic->end);
    if (batch->row_count == 0)
        return;
    float bias = logistic->has_bias ? parameters[logistic->bias] : 0;
    for (size_t i = 0; i < batch->row_count; i++)
        logistic->logits[i] = bias;
    struct mu_product product = {.m = batch->row_count,
        .n = 1,
        .k = logistic->feature_count,
        .alpha = 1,
        .beta = 1,
        .a = batch->features,
        .b = parameters + logistic->weight,
        .c = logistic->logits};
    if (logistic->feature_count > 0)
        logistic->device->ops->gemm(logistic->device, &product);
    if (batch->entries.first)
        add_entries(logistic->logits, batch);
}

/* log(1 + exp(z)) - label * z, with no exponential that can overflow. */
static double loss_of_row(float logit, int label, float *ret_error)
{
    double z = (double)logit, tail = exp(-fabs(z)); /* in (0, 1] */
    double probability = (z > 0 ? 1 : tail) / (1 + tail);
    *ret_error = (float)(probability - label);
    return (z > 0 ? z : 0) - label * z + log1p(tail);
}

void mu_logistic_loss(
    struct mu_logistic *logistic, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    *ret_loss = (struct mu_loss){0};
    for (size_t i = 0; i < batch->row_count; i++) {
        int label = batch->labels[i];
        assert(label == 0 || label == 1);
        float logit = logistic->logits[i];
        ret_loss->loss_sum += loss_of_row(logit, label, &logistic->error[i]);
        ret_loss->correct_count += (logit > 0) == (label == 1);
    }
}

/* ---- backward ---- */

void mu_logistic_delta(struct mu_logistic *logistic, size_t rows, float scale)
{
    for (size_t i = 0; i < rows; i++)
        logistic->delta[i] = scale * logistic->error[i];
}

void mu_logistic_backward(struct mu_logistic *logistic, const struct mu_batch *batch,
    float *gradients, const struct mu_slice_listener *listener)
{
    if (logistic->end == 0)
        return;
    struct mu_device *device = logistic->device;
    memset(gradients, 0, logistic->end * sizeof(float));
    struct mu_product product = {.transpose_a = true,
        .m = logistic->feature_count,
        .n = 1,
        .k = batch->row_count,
        .alpha = 1,
        .a = batch->features,
        .b = logistic->delta,
        .c = gradients + logistic->weight};
    if (batch->row_count > 0 && logistic->feature_count > 0)
        device->ops->gemm(device, &product);
    if (batch->row_count > 0 && logistic->has_bias)
        device->ops->column_sums(
            device, batch->row_count, 1, logistic->delta, gradients + logistic->bias);
    mu_stack_announce(listener, 0, logistic->end);
}

void mu_logistic_rows_backward(const struct mu_logistic *logistic, const struct mu_batch *batch)
{
    const struct mu_entries *entries = &batch->entries;
    float *gradient = batch->rows.gradient;
    const uint32_t *of_entry = batch->rows.of_entry;
    size_t width = batch->rows.width;
    if (batch->rows.count > 0)
        memset(gradient, 0, batch->rows.count * width * sizeof(float));
    if (!entries->first)
        return;
    for (size_t i = 0; i < batch->row_count; i++)
        for (size_t e = entries->first[i]; e < entries->first[i + 1]; e++)
            gradient[of_entry[e] * width] += logistic->delta[i] * entries->value[e];
}
