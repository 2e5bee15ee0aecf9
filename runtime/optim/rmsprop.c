/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"

struct options {
    double decay, momentum, epsilon;
};

/* s = decay * s + (1 - decay) * g * g; v = momentum * v + g / (sqrt(s) + epsilon); p -= rate * v:
 * the learning rate is outside of v, as it is for momentum. */
static void step_rmsprop(const void *options, const struct mu_optim_step *step)
{
    const struct options *o = options;
    struct mu_rmsprop_factors factors = {
        .decay = (float)o->decay, .momentum = (float)o->momentum, .epsilon = (float)o->epsilon};
    mu_kernels()->optim->rmsprop(step, &factors);
}

static const struct mu_option rows[] = {
    {.name = "decay",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, decay),
        .min = 0,
        .max = 0.999999,
        .fallback = "0.9",
        .doc = "part of the square's average kept each step"},
    {.name = "momentum",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, momentum),
        .min = 0,
        .max = 1,
        .fallback = "0",
        .doc = "part of the velocity kept each step"},
    {.name = "epsilon",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, epsilon),
        .min = 1e-12,
        .max = 1,
        .fallback = "1e-7",
        .doc = "added to the root of the square"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_rmsprop = {
    .name = "rmsprop",
    .doc = "RMSProp, optionally with momentum (Tieleman and Hinton 2012)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .slot_count = 2,
    .slot_names = {"square", "momentum"},
    .step = step_rmsprop,
};
