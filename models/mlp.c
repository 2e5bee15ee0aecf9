/* SPDX-License-Identifier: Apache-2.0 */
#include "models/dense.h"
#include "models/model_kinds.h"
#include "runtime/base/log.h"
#include "runtime/base/random.h"
#include <math.h>
#include <string.h>

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
    struct mu_dense_shape shape = {.layer_count = widths->count - 1};
    for (int i = 0; i < widths->count; i++)
        shape.width[i] = (size_t)widths->value[i];
    if (shape.width[0] != feature_count || shape.width[shape.layer_count] != class_count)
        return mu_fail(log, MU_E0204, "the first width is the features, the last the classes",
            "model.widths goes from %zu to %zu, but the data set has %zu features and %zu classes",
            shape.width[0], shape.width[shape.layer_count], feature_count, class_count);
    if (!mu_dense_layout(&shape, ret_layout))
        return mu_fail(log, MU_E0203, NULL, "model.widths asks for more parameters than can be");
    return MU_OK;
}

/* Uniform in [-1, 1): 24 bits of a number that only the seed and the position decide. */
static float uniform(uint64_t seed, size_t position)
{
    uint64_t bits = mu_random_mix(seed, position) >> 40;
    return (float)bits * 0x1p-23F - 1;
}

/* Weights: He et al. 2015, variance 2 / in, drawn uniformly: arithmetic only, so that all machines
 * draw the same. Biases: zeros. */
static void init(
    const void *options, const struct mu_layout *layout_of, uint64_t seed, float *parameters)
{
    (void)options;
    memset(parameters, 0, layout_of->element_count * sizeof(float));
    for (int i = 0; i < layout_of->view_count; i += 2) {
        const struct mu_view *weight = &layout_of->view[i];
        float limit = (float)sqrt(6.0 / (double)weight->shape[0]);
        for (size_t at = weight->span.first; at < weight->span.first + weight->span.count; at++)
            parameters[at] = limit * uniform(seed, at);
    }
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
