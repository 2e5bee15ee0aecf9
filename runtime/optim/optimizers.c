/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/optimizers.h"

#include "runtime/optim/optim_kinds.h"
#include <string.h>

const struct mu_optimizer_ops *const mu_optimizers[] = {
    &mu_sgd,
    &mu_momentum,
    &mu_adagrad,
    &mu_rmsprop,
    &mu_adam,
    &mu_adamw,
    &mu_ftrl,
    &mu_lars,
    &mu_lamb,
    NULL,
};

const struct mu_optimizer_ops *mu_optimizer_find(const char *name)
{
    for (size_t i = 0; mu_optimizers[i]; i++)
        if (strcmp(mu_optimizers[i]->name, name) == 0)
            return mu_optimizers[i];
    return NULL;
}

const struct mu_option mu_optim_common_rows[] = {
    {.name = "learning_rate",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_optim_common, learning_rate),
        .min = 0,
        .max = 1e6,
        .fallback = "0.01",
        .doc = "step size before the schedule"},
    {.name = "weight_decay",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_optim_common, weight_decay),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "L2 penalty; decoupled from the gradient for adamw and lamb"},
    {.name = "clip_norm",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_optim_common, clip_norm),
        .min = 0,
        .max = 1e12,
        .fallback = "0",
        .doc = "largest global norm of the gradient; 0: no clipping"},
    {.name = NULL},
};
