/* SPDX-License-Identifier: Apache-2.0 */
#include "models/dense.h"

#include <assert.h>
#include <stdlib.h>

struct dense {
    struct mu_stack stack;          /* after forward its output holds d(loss)/d(logits) */
    struct mu_slice_listener needs; /* of forward; nobody: ready is NULL */
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

enum mu_status mu_dense_create(const void *options, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max, void **ret_model)
{
    (void)options;
    struct dense *dense = calloc(1, sizeof(*dense));
    if (!dense)
        return MU_NO_MEMORY;
    enum mu_status status = mu_stack_init(&dense->stack, layout, 0, device, rows_max);
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
    mu_stack_finish(&dense->stack);
    free(dense);
}

void mu_dense_watch(void *model, const struct mu_slice_listener *needs)
{
    struct dense *dense = model;
    dense->needs = needs ? *needs : (struct mu_slice_listener){0};
}

static struct mu_stack_input input_of(const struct mu_batch *batch)
{
    return (struct mu_stack_input){batch->row_count, batch->feature_count, batch->features};
}

void mu_dense_forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    struct dense *dense = model;
    struct mu_stack *stack = &dense->stack;
    *ret_loss = (struct mu_loss){0};
    assert(batch->row_count == 0 || batch->feature_count == mu_stack_inputs(stack));
    const struct mu_stack_input input = input_of(batch);
    float *logits = mu_stack_forward(stack, parameters, &input, &dense->needs);
    if (batch->row_count > 0)
        ret_loss->loss_sum = stack->device->ops->softmax_loss(stack->device, batch->row_count,
            mu_stack_outputs(stack), batch->labels, 1, logits, &ret_loss->correct_count);
}

void mu_dense_backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    struct mu_stack *stack = &((struct dense *)model)->stack;
    const float *error = stack->layer[stack->layer_count - 1].y;
    for (size_t i = 0; i < batch->row_count * mu_stack_outputs(stack); i++)
        stack->delta[i] = scale * error[i];
    const struct mu_stack_input input = input_of(batch);
    mu_stack_backward(stack, parameters, &input, gradients, listener);
}
