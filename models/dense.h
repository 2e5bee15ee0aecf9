/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_DENSE_H
#define MU_MODELS_DENSE_H

#include "models/stack.h"
#include "muster/dataset.h"

/*
 * Classifiers of dense features: a stack of layers over them, softmax and cross-entropy at the end.
 * The functions of struct mu_model_ops that do not depend on options.
 */
/* CONFIG, said to `log`: the data has a sparse part, which model `name` would not see. */
enum mu_status mu_dense_fits(
    const char *name, const struct mu_dataset_facts *facts, struct mu_log *log);
enum mu_status mu_dense_create(const void *options, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max, void **ret_model);
void mu_dense_destroy(void *model);
void mu_dense_forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss);
void mu_dense_watch(void *model, const struct mu_slice_listener *needs);
void mu_dense_backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener);

#endif
