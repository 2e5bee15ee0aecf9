/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"
#include "runtime/optim/tensors.h"

struct options {
    double momentum, trust, epsilon;
};

/* trust * |p| / (|g| + decay * |p| + epsilon); 1 where either is zero. */
static double ratio_of(const struct options *options, const struct mu_optim_step *step)
{
    double parameters = mu_tensors_norm(step->parameters, step->count);
    double gradients = mu_tensors_norm(step->gradients, step->count) * (double)step->gradient_scale;
    if (parameters <= 0 || gradients <= 0)
        return 1;
    double decay = (double)step->weight_decay;
    return options->trust * parameters / (gradients + decay * parameters + options->epsilon);
}

/* v = m * v + ratio * (g + decay * p); p -= rate * v: momentum's step with a gradient that the
 * ratio scales, and so with the learning rate outside of v. */
static void step_lars(const void *options, const struct mu_optim_step *step)
{
    const struct options *o = options;
    struct mu_optim_step scaled = *step;
    if (mu_tensors_have_ratio(step)) {
        double ratio = ratio_of(o, step);
        scaled.gradient_scale = (float)(ratio * (double)step->gradient_scale);
        scaled.weight_decay = (float)(ratio * (double)step->weight_decay);
    }
    mu_kernels()->optim->momentum(&scaled, (float)o->momentum, false);
}

static const struct mu_option rows[] = {
    {.name = "momentum",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, momentum),
        .min = 0,
        .max = 1,
        .fallback = "0.9",
        .doc = "part of the velocity kept each step"},
    {.name = "trust",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, trust),
        .min = 1e-9,
        .max = 1e3,
        .fallback = "0.001",
        .doc = "part of a tensor's norm that a rate of 1 changes; biases have no such part"},
    {.name = "epsilon",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, epsilon),
        .min = 0,
        .max = 1,
        .fallback = "1e-9",
        .doc = "added to the gradient's norm"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_lars = {
    .name = "lars",
    .doc = "LARS, momentum with a rate for each tensor of rank 2 or more (You et al. 2017)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .slot_count = 1,
    .slot_names = {"momentum"},
    .by_tensor = true,
    .step = step_lars,
};
