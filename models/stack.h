/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_STACK_H
#define MU_MODELS_STACK_H

#include "muster/model.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"

/*
 * A stack of dense layers: y = x * weight + bias, ReLU after every layer but the last. Models are
 * made of it: what comes in and what is asked of the last output is theirs.
 *
 * Weights are (in, out), row-major: forward then multiplies two matrices as they lie, and a block
 * of rows of a weight's gradient is a contiguous slice. With (out, in) both products of forward
 * would need a transposed copy of the weights.
 */
#define MU_STACK_WIDTHS_MAX (MU_INTEGERS_MAX + 2)

/* Gradients are announced in pieces of about this many elements, so that a large layer's way to the
 * other replicas begins before all of it is computed. */
#define MU_STACK_SLICE_ELEMENTS (1 << 18)

struct mu_stack_shape {
    int layer_count;
    size_t width[MU_STACK_WIDTHS_MAX]; /* (layer_count + 1): in, hidden ..., out */
};

/* Where a layer lies in the flat vector. */
struct mu_stack_layer {
    size_t in, out;
    size_t weight, bias; /* first elements */
    size_t end;          /* where the next layer begins, gaps included */
    float *y;            /* (rows_max, out): after ReLU */
};

struct mu_stack {
    struct mu_device *device;
    int layer_count;
    struct mu_stack_layer layer[MU_STACK_WIDTHS_MAX];
    size_t rows_max;
    float *delta; /* (rows_max, out): backward begins with d(loss)/d(output), put here */
    float *below; /* (rows_max, widest): of the layer under the one at hand */
    struct mu_arena arena;
};

/* What goes into the first layer: (rows, in), from row to row `stride` elements. */
struct mu_stack_input {
    size_t rows, stride;
    const float *x;
};

/* Appends "layer0/weight" (in, out), "layer0/bias" (out), "layer1/weight", ... False: too large. */
bool mu_stack_layout(const struct mu_stack_shape *shape, struct mu_layout *layout);
/* Initial values of a stack that has all views from `first_view`. */
void mu_stack_draw(
    const struct mu_layout *layout, int first_view, uint64_t seed, float *parameters);

/* Of a stack that has all views from `first_view`; allocates everything. NO_MEMORY. */
enum mu_status mu_stack_init(struct mu_stack *stack, const struct mu_layout *layout, int first_view,
    struct mu_device *device, size_t rows_max);
void mu_stack_finish(struct mu_stack *stack); /* takes a zeroed one */

size_t mu_stack_inputs(const struct mu_stack *stack);
size_t mu_stack_outputs(const struct mu_stack *stack);

/* The output (rows, out), valid until the next forward. `needs` is as in mu_model_ops.watch. */
float *mu_stack_forward(struct mu_stack *stack, const float *parameters,
    const struct mu_stack_input *input, const struct mu_slice_listener *needs);
/* Gradients and slices as struct mu_model_ops has them, from stack->delta, which is used up. */
void mu_stack_backward(struct mu_stack *stack, const float *parameters,
    const struct mu_stack_input *input, float *gradients, const struct mu_slice_listener *listener);
/* After a backward with rows: d(loss)/d(input) of the first `columns` inputs, (rows, columns),
 * from row to row `stride` elements. May overwrite that backward's input. */
void mu_stack_input_gradient(struct mu_stack *stack, const float *parameters, size_t rows,
    size_t columns, float *ret_gradient, size_t stride);

/* For models: tells a listener, or nobody, of the elements from `first` to `end`. */
void mu_stack_announce(const struct mu_slice_listener *listener, size_t first, size_t end);

#endif
