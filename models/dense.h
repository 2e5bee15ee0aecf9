/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_DENSE_H
#define MU_MODELS_DENSE_H

#include "muster/dataset.h"
#include "muster/model.h"
#include "runtime/device/device.h"

/*
 * A stack of dense layers: y = x * weight + bias, ReLU after every layer but the last, softmax and
 * cross-entropy at the end. The models of this folder are such stacks.
 *
 * Weights are (in, out), row-major: forward then multiplies two matrices as they lie, and a block
 * of rows of a weight's gradient is a contiguous slice. With (out, in) both products of forward
 * would need a transposed copy of the weights.
 */
#define MU_DENSE_WIDTHS_MAX MU_INTEGERS_MAX

/* Gradients are announced in pieces of about this many elements, so that a large layer's way to the
 * other replicas begins before all of it is computed. */
#define MU_DENSE_SLICE_ELEMENTS (1 << 18)

struct mu_dense_shape {
    int layer_count;
    size_t width[MU_DENSE_WIDTHS_MAX]; /* (layer_count + 1): in, hidden ..., out */
};

/* CONFIG, said to `log`: the data has a sparse part, which model `name` would not see. */
enum mu_status mu_dense_fits(
    const char *name, const struct mu_dataset_facts *facts, struct mu_log *log);
/* "layer0/weight" (in, out), "layer0/bias" (out), "layer1/weight", ... False: too large. */
bool mu_dense_layout(const struct mu_dense_shape *shape, struct mu_layout *ret_layout);
/* The shape back from such a layout. */
void mu_dense_shape_of(const struct mu_layout *layout, struct mu_dense_shape *ret_shape);

/* The functions of struct mu_model_ops that do not depend on options. */
enum mu_status mu_dense_create(const void *options, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max, void **ret_model);
void mu_dense_destroy(void *model);
void mu_dense_forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss);
void mu_dense_watch(void *model, const struct mu_slice_listener *needs);
void mu_dense_backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener);

#endif
