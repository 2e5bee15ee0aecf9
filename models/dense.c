/* SPDX-License-Identifier: Apache-2.0 */
#include "models/dense.h"

#include "runtime/tensor/arena.h"
#include "runtime/tensor/layout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a layer lies in the flat vector. */
struct layer {
    size_t in, out;
    size_t weight, bias; /* first elements */
    size_t end;          /* where the next layer begins, gaps included */
    float *y;            /* (rows_max, out): after ReLU; of the last layer d(loss)/d(logits) */
};

struct dense {
    struct mu_device *device;
    int layer_count;
    struct layer layer[MU_DENSE_WIDTHS_MAX];
    size_t rows_max;
    float *
        delta[2]; /* (rows_max, widest): d(loss)/d(output) of the layer at hand and the one below */
    struct mu_slice_listener needs; /* of forward; nobody: ready is NULL */
    struct mu_arena arena;
};

enum mu_status mu_dense_fits(
    const char *name, const struct mu_dataset_facts *facts, struct mu_log *log)
{
    if (facts->entry_max == 0)
        return MU_OK;
    return mu_fail(log, MU_E0204, "models of sparse data: linear, wide_deep, factorization",
        "model `%s` sees dense features only, but samples of the data set have up to %zu entries",
        name, facts->entry_max);
}

bool mu_dense_layout(const struct mu_dense_shape *shape, struct mu_layout *ret_layout)
{
    mu_layout_init(ret_layout);
    for (int i = 0; i < shape->layer_count; i++) {
        int64_t weight_shape[2] = {(int64_t)shape->width[i], (int64_t)shape->width[i + 1]};
        char name[MU_NAME_MAX];
        snprintf(name, sizeof(name), "layer%d/weight", i);
        if (!mu_layout_add(ret_layout, name, 2, weight_shape))
            return false;
        snprintf(name, sizeof(name), "layer%d/bias", i);
        if (!mu_layout_add(ret_layout, name, 1, weight_shape + 1))
            return false;
    }
    return true;
}

void mu_dense_shape_of(const struct mu_layout *layout, struct mu_dense_shape *ret_shape)
{
    assert(layout->view_count >= 2 && layout->view_count % 2 == 0);
    assert(layout->view_count / 2 < MU_DENSE_WIDTHS_MAX);
    *ret_shape = (struct mu_dense_shape){.layer_count = layout->view_count / 2};
    for (int i = 0; i < ret_shape->layer_count; i++) {
        const struct mu_view *weight = &layout->view[2 * i];
        assert(weight->rank == 2);
        ret_shape->width[i] = (size_t)weight->shape[0];
        ret_shape->width[i + 1] = (size_t)weight->shape[1];
    }
}

static size_t padded(size_t count)
{
    return (count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
}

static void find_layers(struct dense *dense, const struct mu_layout *layout)
{
    struct mu_dense_shape shape;
    mu_dense_shape_of(layout, &shape);
    dense->layer_count = shape.layer_count;
    for (int i = 0; i < shape.layer_count; i++) {
        struct layer *layer = &dense->layer[i];
        layer->in = shape.width[i];
        layer->out = shape.width[i + 1];
        layer->weight = layout->view[2 * i].span.first;
        layer->bias = layout->view[2 * i + 1].span.first;
        bool last = i + 1 == shape.layer_count;
        layer->end = last ? layout->element_count : layout->view[2 * i + 2].span.first;
    }
}

/* One arena for all activations: two deltas as wide as the widest layer, then y layer by layer. */
static enum mu_status take_activations(struct dense *dense)
{
    size_t widest = 0, sum = 0;
    for (int i = 0; i < dense->layer_count; i++) {
        size_t count = padded(dense->rows_max * dense->layer[i].out);
        widest = count > widest ? count : widest;
        sum += count;
    }
    MU_TRY(mu_arena_init(&dense->arena, 2 * widest + sum));
    float *at = dense->arena.data;
    dense->delta[0] = at;
    dense->delta[1] = at + widest;
    at += 2 * widest;
    for (int i = 0; i < dense->layer_count; i++) {
        dense->layer[i].y = at;
        at += padded(dense->rows_max * dense->layer[i].out);
    }
    return MU_OK;
}

enum mu_status mu_dense_create(const void *options, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max, void **ret_model)
{
    (void)options;
    struct dense *dense = calloc(1, sizeof(*dense));
    if (!dense)
        return MU_NO_MEMORY;
    dense->device = device;
    dense->rows_max = rows_max;
    find_layers(dense, layout);
    enum mu_status status = take_activations(dense);
    if (status != MU_OK) {
        free(dense);
        return status;
    }
    *ret_model = dense;
    return MU_OK;
}

void mu_dense_destroy(void *model)
{
    struct dense *dense = model;
    if (!dense)
        return;
    mu_arena_finish(&dense->arena);
    free(dense);
}

static const float *input_of(const struct dense *dense, int index, const struct mu_batch *batch)
{
    return index == 0 ? batch->features : dense->layer[index - 1].y;
}

void mu_dense_watch(void *model, const struct mu_slice_listener *needs)
{
    struct dense *dense = model;
    dense->needs = needs ? *needs : (struct mu_slice_listener){0};
}

static void announce(const struct mu_slice_listener *listener, size_t first, size_t end)
{
    if (listener && listener->ready)
        listener->ready(listener->owner, (struct mu_span){first, end - first});
}

void mu_dense_forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    struct dense *dense = model;
    struct mu_device *device = dense->device;
    size_t rows = batch->row_count;
    assert(rows <= dense->rows_max);
    *ret_loss = (struct mu_loss){0};
    assert(rows == 0 || batch->feature_count == dense->layer[0].in);
    for (int i = 0; i < dense->layer_count; i++) {
        const struct layer *layer = &dense->layer[i];
        announce(&dense->needs, layer->weight, layer->end);
        if (rows == 0)
            continue;
        struct mu_product product = {.m = rows,
            .n = layer->out,
            .k = layer->in,
            .alpha = 1,
            .a = input_of(dense, i, batch),
            .b = parameters + layer->weight,
            .c = layer->y};
        device->ops->gemm(device, &product);
        bool relu = i + 1 < dense->layer_count;
        device->ops->bias_relu(device, rows, layer->out, parameters + layer->bias, relu, layer->y);
    }
    if (rows == 0)
        return;
    const struct layer *last = &dense->layer[dense->layer_count - 1];
    ret_loss->loss_sum = device->ops->softmax_loss(
        device, rows, last->out, batch->labels, 1, last->y, &ret_loss->correct_count);
}

static void clear(float *gradients, size_t first, size_t end)
{
    memset(gradients + first, 0, (end - first) * sizeof(float));
}

/* Rows of the weight in one slice: even parts. */
static size_t rows_in_slice(const struct layer *layer)
{
    size_t elements = layer->in * layer->out;
    size_t slices = (elements + MU_DENSE_SLICE_ELEMENTS - 1) / MU_DENSE_SLICE_ELEMENTS;
    return (layer->in + slices - 1) / slices;
}

/* Weight (in, out) = x^T (in, rows) * delta (rows, out), slice by slice, last rows first. The first
 * slice takes the bias and the gaps along: `end` is where what was announced before begins. */
static void weight_gradient(const struct dense *dense, const struct layer *layer, size_t rows,
    const float *x, const float *delta, float *gradients, const struct mu_slice_listener *listener)
{
    struct mu_device *device = dense->device;
    size_t part = rows_in_slice(layer), end = layer->end;
    for (size_t i = (layer->in - 1) / part * part;; i -= part) {
        size_t first = layer->weight + i * layer->out;
        struct mu_product product = {.transpose_a = true,
            .m = layer->in - i < part ? layer->in - i : part,
            .n = layer->out,
            .k = rows,
            .alpha = 1,
            .a = x + i,
            .a_stride = layer->in,
            .b = delta,
            .c = gradients + first};
        if (rows > 0)
            device->ops->gemm(device, &product);
        else
            clear(gradients, first, first + product.m * product.n);
        announce(listener, first, end);
        end = first;
        if (i == 0)
            break;
    }
}

static void layer_gradient(const struct dense *dense, const struct layer *layer, size_t rows,
    const float *x, const float *delta, float *gradients, const struct mu_slice_listener *listener)
{
    size_t weight_end = layer->weight + layer->in * layer->out;
    size_t bias_end = layer->bias + layer->out;
    clear(gradients, weight_end, layer->bias);
    clear(gradients, bias_end, layer->end);
    if (rows > 0)
        dense->device->ops->column_sums(
            dense->device, rows, layer->out, delta, gradients + layer->bias);
    else
        clear(gradients, layer->bias, bias_end);
    weight_gradient(dense, layer, rows, x, delta, gradients, listener);
}

/* Input gradient (rows, in) = delta (rows, out) * weight^T, cleared where the layer below is. */
static void input_gradient(const struct dense *dense, const struct layer *layer, size_t rows,
    const float *parameters, const float *delta, const float *x, float *below)
{
    struct mu_product product = {.transpose_b = true,
        .m = rows,
        .n = layer->in,
        .k = layer->out,
        .alpha = 1,
        .a = delta,
        .b = parameters + layer->weight,
        .c = below};
    dense->device->ops->gemm(dense->device, &product);
    dense->device->ops->relu_backward(dense->device, rows * layer->in, x, below);
}

void mu_dense_backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    struct dense *dense = model;
    size_t rows = batch->row_count;
    const struct layer *last = &dense->layer[dense->layer_count - 1];
    float *delta = dense->delta[0], *below = dense->delta[1];
    for (size_t i = 0; i < rows * last->out; i++)
        delta[i] = scale * last->y[i];
    for (int i = dense->layer_count - 1; i >= 0; i--) {
        const struct layer *layer = &dense->layer[i];
        const float *x = input_of(dense, i, batch);
        layer_gradient(dense, layer, rows, x, delta, gradients, listener);
        if (i > 0 && rows > 0) /* nobody needs the gradient of the features */
            input_gradient(dense, layer, rows, parameters, delta, x, below);
        float *free_now = delta;
        delta = below;
        below = free_now;
    }
}
