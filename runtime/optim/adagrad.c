/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"

struct options {
    double initial, epsilon;
};

static struct mu_adagrad_factors factors_of(const struct options *options)
{
    return (struct mu_adagrad_factors){
        .initial = (float)options->initial, .epsilon = (float)options->epsilon};
}

/* n += g * g; p -= rate * g / (sqrt(initial + n) + epsilon): n begins as zero like every slot, and
 * what the sum starts from is added where it is read. */
static void step_adagrad(const void *options, const struct mu_optim_step *step)
{
    struct mu_adagrad_factors factors = factors_of(options);
    mu_kernels()->optim->adagrad(step, &factors);
}

static void step_adagrad_rows(const void *options, const struct mu_optim_rows *table)
{
    struct mu_adagrad_factors factors = factors_of(options);
    mu_kernels()->optim->adagrad_rows(table, &factors);
}

static const struct mu_option rows[] = {
    {.name = "initial",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, initial),
        .min = 0,
        .max = 1e6,
        .fallback = "0.1",
        .doc = "what the sum of squares starts from"},
    {.name = "epsilon",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, epsilon),
        .min = 1e-12,
        .max = 1,
        .fallback = "1e-7",
        .doc = "added to the root of the sum"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_adagrad = {
    .name = "adagrad",
    .doc = "AdaGrad, a rate for each parameter (Duchi et al. 2011)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .slot_count = 1,
    .slot_names = {"square_sum"},
    .step = step_adagrad,
    .step_rows = step_adagrad_rows,
};
