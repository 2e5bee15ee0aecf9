/* SPDX-License-Identifier: Apache-2.0 */
#include "models/stack.h"

#include "runtime/base/random.h"
#include "runtime/tensor/layout.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- names, shapes, initial values ---- */

bool mu_stack_layout(const struct mu_stack_shape *shape, struct mu_layout *layout)
{
    for (int i = 0; i < shape->layer_count; i++) {
        int64_t weight_shape[2] = {(int64_t)shape->width[i], (int64_t)shape->width[i + 1]};
        char name[MU_NAME_MAX];
        snprintf(name, sizeof(name), "layer%d/weight", i);
        if (!mu_layout_add(layout, name, 2, weight_shape))
            return false;
        snprintf(name, sizeof(name), "layer%d/bias", i);
        if (!mu_layout_add(layout, name, 1, weight_shape + 1))
            return false;
    }
    return true;
}

/* Uniform in [-1, 1): 24 bits of a number that only the seed and the position decide. */
static float uniform(uint64_t seed, size_t position)
{
    uint64_t bits = mu_random_mix(seed, position) >> 40;
    return (float)bits * 0x1p-23F - 1;
}

/* Weights: He et al. 2015, variance 2 / in, drawn uniformly: arithmetic only, so that all machines
 * draw the same. Biases: zeros. */
void mu_stack_draw(const struct mu_layout *layout, int first_view, uint64_t seed, float *parameters)
{
    size_t first = layout->view[first_view].span.first;
    memset(parameters + first, 0, (layout->element_count - first) * sizeof(float));
    for (int i = first_view; i < layout->view_count; i += 2) {
        const struct mu_view *weight = &layout->view[i];
        float limit = (float)sqrt(6.0 / (double)weight->shape[0]);
        for (size_t at = weight->span.first; at < weight->span.first + weight->span.count; at++)
            parameters[at] = limit * uniform(seed, at);
    }
}

/* ---- memory ---- */

static size_t padded(size_t count)
{
    return (count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
}

static void find_layers(struct mu_stack *stack, const struct mu_layout *layout, int first_view)
{
    int views = layout->view_count - first_view;
    assert(views >= 2 && views % 2 == 0);
    assert(views / 2 < MU_STACK_WIDTHS_MAX);
    stack->layer_count = views / 2;
    for (int i = 0; i < stack->layer_count; i++) {
        const struct mu_view *view = &layout->view[first_view + 2 * i];
        assert(view[0].rank == 2);
        struct mu_stack_layer *layer = &stack->layer[i];
        layer->in = (size_t)view[0].shape[0];
        layer->out = (size_t)view[0].shape[1];
        layer->weight = view[0].span.first;
        layer->bias = view[1].span.first;
        bool last = i + 1 == stack->layer_count;
        layer->end = last ? layout->element_count : view[2].span.first;
    }
}

/* One arena for all activations: two deltas as wide as the widest layer, then y layer by layer. */
static enum mu_status take_activations(struct mu_stack *stack)
{
    size_t widest = 0, sum = 0;
    for (int i = 0; i < stack->layer_count; i++) {
        size_t count = padded(stack->rows_max * stack->layer[i].out);
        widest = count > widest ? count : widest;
        sum += count;
    }
    MU_TRY(mu_arena_init(&stack->arena, 2 * widest + sum));
    float *at = stack->arena.data;
    stack->delta = at;
    stack->below = at + widest;
    at += 2 * widest;
    for (int i = 0; i < stack->layer_count; i++) {
        stack->layer[i].y = at;
        at += padded(stack->rows_max * stack->layer[i].out);
    }
    return MU_OK;
}

enum mu_status mu_stack_init(struct mu_stack *stack, const struct mu_layout *layout, int first_view,
    struct mu_device *device, size_t rows_max)
{
    *stack = (struct mu_stack){.device = device, .rows_max = rows_max};
    find_layers(stack, layout, first_view);
    return take_activations(stack);
}

void mu_stack_finish(struct mu_stack *stack)
{
    mu_arena_finish(&stack->arena);
}

size_t mu_stack_inputs(const struct mu_stack *stack)
{
    return stack->layer[0].in;
}

size_t mu_stack_outputs(const struct mu_stack *stack)
{
    return stack->layer[stack->layer_count - 1].out;
}

/* ---- forward ---- */

void mu_stack_announce(const struct mu_slice_listener *listener, size_t first, size_t end)
{
    if (listener && listener->ready)
        listener->ready(listener->owner, (struct mu_span){first, end - first});
}

static struct mu_stack_input input_of(
    const struct mu_stack *stack, int index, const struct mu_stack_input *input)
{
    if (index == 0)
        return *input;
    const struct mu_stack_layer *under = &stack->layer[index - 1];
    return (struct mu_stack_input){input->rows, under->out, under->y};
}

static void layer_forward(struct mu_stack *stack, const struct mu_stack_layer *layer,
    const float *parameters, const struct mu_stack_input *input, bool relu)
{
    struct mu_device *device = stack->device;
    struct mu_product product = {.m = input->rows,
        .n = layer->out,
        .k = layer->in,
        .alpha = 1,
        .a = input->x,
        .a_stride = input->stride,
        .b = parameters + layer->weight,
        .c = layer->y};
    device->ops->gemm(device, &product);
    device->ops->bias_relu(
        device, input->rows, layer->out, parameters + layer->bias, relu, layer->y);
}

float *mu_stack_forward(struct mu_stack *stack, const float *parameters,
    const struct mu_stack_input *input, const struct mu_slice_listener *needs)
{
    assert(input->rows <= stack->rows_max);
    for (int i = 0; i < stack->layer_count; i++) {
        const struct mu_stack_layer *layer = &stack->layer[i];
        mu_stack_announce(needs, layer->weight, layer->end);
        struct mu_stack_input x = input_of(stack, i, input);
        if (input->rows > 0)
            layer_forward(stack, layer, parameters, &x, i + 1 < stack->layer_count);
    }
    return stack->layer[stack->layer_count - 1].y;
}

/* ---- backward ---- */

static void clear(float *gradients, size_t first, size_t end)
{
    memset(gradients + first, 0, (end - first) * sizeof(float));
}

/* Rows of the weight in one slice: even parts. */
static size_t rows_in_slice(const struct mu_stack_layer *layer)
{
    size_t elements = layer->in * layer->out;
    size_t slices = (elements + MU_STACK_SLICE_ELEMENTS - 1) / MU_STACK_SLICE_ELEMENTS;
    return (layer->in + slices - 1) / slices;
}

/* Weight (in, out) = x^T (in, rows) * delta (rows, out), slice by slice, last rows first. The first
 * slice takes the bias and the gaps along: `end` is where what was announced before begins. */
static void weight_gradient(const struct mu_stack *stack, const struct mu_stack_layer *layer,
    const struct mu_stack_input *input, float *gradients, const struct mu_slice_listener *listener)
{
    struct mu_device *device = stack->device;
    size_t part = rows_in_slice(layer), end = layer->end;
    for (size_t i = (layer->in - 1) / part * part;; i -= part) {
        size_t first = layer->weight + i * layer->out;
        struct mu_product product = {.transpose_a = true,
            .m = layer->in - i < part ? layer->in - i : part,
            .n = layer->out,
            .k = input->rows,
            .alpha = 1,
            .a = input->x + i,
            .a_stride = input->stride,
            .b = stack->delta,
            .c = gradients + first};
        if (input->rows > 0)
            device->ops->gemm(device, &product);
        else
            clear(gradients, first, first + product.m * product.n);
        mu_stack_announce(listener, first, end);
        end = first;
        if (i == 0)
            break;
    }
}

static void layer_gradient(const struct mu_stack *stack, const struct mu_stack_layer *layer,
    const struct mu_stack_input *input, float *gradients, const struct mu_slice_listener *listener)
{
    size_t weight_end = layer->weight + layer->in * layer->out;
    size_t bias_end = layer->bias + layer->out;
    clear(gradients, weight_end, layer->bias);
    clear(gradients, bias_end, layer->end);
    if (input->rows > 0)
        stack->device->ops->column_sums(
            stack->device, input->rows, layer->out, stack->delta, gradients + layer->bias);
    else
        clear(gradients, layer->bias, bias_end);
    weight_gradient(stack, layer, input, gradients, listener);
}

/* (rows, columns) = delta (rows, out) * the first rows of weight^T. */
static void input_gradient(const struct mu_stack *stack, const struct mu_stack_layer *layer,
    const float *parameters, size_t rows, size_t columns, float *ret_gradient, size_t stride)
{
    struct mu_product product = {.transpose_b = true,
        .m = rows,
        .n = columns,
        .k = layer->out,
        .alpha = 1,
        .a = stack->delta,
        .b = parameters + layer->weight,
        .c = ret_gradient,
        .c_stride = stride};
    stack->device->ops->gemm(stack->device, &product);
}

void mu_stack_backward(struct mu_stack *stack, const float *parameters,
    const struct mu_stack_input *input, float *gradients, const struct mu_slice_listener *listener)
{
    for (int i = stack->layer_count - 1; i >= 0; i--) {
        const struct mu_stack_layer *layer = &stack->layer[i];
        struct mu_stack_input x = input_of(stack, i, input);
        layer_gradient(stack, layer, &x, gradients, listener);
        if (i == 0)
            break; /* few need the gradient of the input: they ask for it */
        if (input->rows > 0) {
            input_gradient(stack, layer, parameters, x.rows, layer->in, stack->below, layer->in);
            stack->device->ops->relu_backward(stack->device, x.rows * layer->in, x.x, stack->below);
        }
        float *free_now = stack->delta;
        stack->delta = stack->below;
        stack->below = free_now;
    }
}

void mu_stack_input_gradient(struct mu_stack *stack, const float *parameters, size_t rows,
    size_t columns, float *ret_gradient, size_t stride)
{
    assert(columns <= stack->layer[0].in);
    input_gradient(stack, &stack->layer[0], parameters, rows, columns, ret_gradient, stride);
}
