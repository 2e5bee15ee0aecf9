/* SPDX-License-Identifier: Apache-2.0 */
#include "models/dense.h"
#include "models/model_kinds.h"
#include "runtime/base/log.h"
#include "runtime/tensor/layout.h"
#include <string.h>

/* Softmax regression (multinomial logistic regression): one dense layer. Its loss is convex, so it
 * starts from zeros. */
static enum mu_status layout(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    (void)options;
    MU_TRY(mu_dense_fits("softmax", facts, log));
    size_t feature_count = facts->feature_count, class_count = facts->class_count;
    struct mu_stack_shape shape = {.layer_count = 1, .width = {feature_count, class_count}};
    mu_layout_init(ret_layout);
    if (!mu_stack_layout(&shape, ret_layout))
        return mu_fail(log, MU_E0204, NULL,
            "the data set is not one for model `softmax`: it has "
            "%zu features and %zu classes",
            feature_count, class_count);
    return MU_OK;
}

static void init(
    const void *options, const struct mu_layout *layout_of, uint64_t seed, float *parameters)
{
    (void)options;
    (void)seed;
    memset(parameters, 0, layout_of->element_count * sizeof(float));
}

static const struct mu_option rows[] = {{.name = NULL}};

const struct mu_model_ops mu_softmax = {
    .name = "softmax",
    .doc = "softmax regression: one dense layer",
    .options = rows,
    .option_bytes = 0,
    .layout = layout,
    .init = init,
    .create = mu_dense_create,
    .destroy = mu_dense_destroy,
    .forward = mu_dense_forward,
    .watch = mu_dense_watch,
    .backward = mu_dense_backward,
};
