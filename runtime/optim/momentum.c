/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"

struct options {
    double momentum;
    bool nesterov;
};

/* v = m * v + g; p -= rate * v, or with nesterov rate * (g + m * v): as in PyTorch and TensorFlow,
 * where the learning rate is outside of v. */
static void step_momentum(const void *options, const struct mu_optim_step *step)
{
    const struct options *o = options;
    mu_kernels()->optim->momentum(step, (float)o->momentum, o->nesterov);
}

static const struct mu_option rows[] = {
    {.name = "momentum",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, momentum),
        .min = 0,
        .max = 1,
        .fallback = "0.9",
        .doc = "part of the velocity kept each step"},
    {.name = "nesterov",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct options, nesterov),
        .fallback = "false",
        .doc = "look ahead along the velocity (Sutskever et al. 2013)"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_momentum = {
    .name = "momentum",
    .doc = "SGD with momentum (Polyak 1964), optionally Nesterov's (1983)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .slot_count = 1,
    .slot_names = {"momentum"},
    .step = step_momentum,
};
