/* SPDX-License-Identifier: Apache-2.0 */
#include "models/dense.h"
#include "models/model_kinds.h"
#include "runtime/base/log.h"
#include "runtime/tensor/layout.h"

#define WIDTH_MAX (1 << 20)

struct options {
    struct mu_integers widths;
};

static enum mu_status layout(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    MU_TRY(mu_dense_fits("mlp", facts, log));
    size_t feature_count = facts->feature_count, class_count = facts->class_count;
    const struct mu_integers *widths = &((const struct options *)options)->widths;
    if (widths->count < 2)
        return mu_fail(log, MU_E0203, "for example [784, 128, 10]",
            "model.widths needs two numbers or more, from features to classes");
    struct mu_stack_shape shape = {.layer_count = widths->count - 1};
    for (int i = 0; i < widths->count; i++)
        shape.width[i] = (size_t)widths->value[i];
    if (shape.width[0] != feature_count || shape.width[shape.layer_count] != class_count)
        return mu_fail(log, MU_E0204, "the first width is the features, the last the classes",
            "model.widths goes from %zu to %zu, but the data set has %zu features and %zu classes",
            shape.width[0], shape.width[shape.layer_count], feature_count, class_count);
    mu_layout_init(ret_layout);
    if (!mu_stack_layout(&shape, ret_layout))
        return mu_fail(log, MU_E0203, NULL, "model.widths asks for more parameters than can be");
    return MU_OK;
}

static void init(
    const void *options, const struct mu_layout *layout_of, uint64_t seed, float *parameters)
{
    (void)options;
    mu_stack_draw(layout_of, 0, seed, parameters);
}

static const struct mu_option rows[] = {
    {.name = "widths",
        .type = MU_OPTION_INTEGERS,
        .offset = offsetof(struct options, widths),
        .min = 1,
        .max = WIDTH_MAX,
        .fallback = NULL,
        .doc = "of the layers, from the features through hidden ones to the classes"},
    {.name = NULL},
};

const struct mu_model_ops mu_mlp = {
    .name = "mlp",
    .doc = "multilayer perceptron: dense layers with ReLU between them",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .layout = layout,
    .init = init,
    .create = mu_dense_create,
    .destroy = mu_dense_destroy,
    .forward = mu_dense_forward,
    .watch = mu_dense_watch,
    .backward = mu_dense_backward,
};
