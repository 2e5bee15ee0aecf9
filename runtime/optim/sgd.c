/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"

/* g = scale * gradient + decay * p; p -= rate * g. */
static void step_sgd(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    mu_kernels()->optim->sgd(step);
}

static void step_sgd_rows(const void *options, const struct mu_optim_rows *table)
{
    (void)options;
    mu_kernels()->optim->sgd_rows(table);
}

static const struct mu_option rows[] = {{.name = NULL}};

const struct mu_optimizer_ops mu_sgd = {
    .name = "sgd",
    .doc = "stochastic gradient descent (Robbins and Monro 1951)",
    .options = rows,
    .option_bytes = 0,
    .slot_count = 0,
    .step = step_sgd,
    .step_rows = step_sgd_rows,
};
