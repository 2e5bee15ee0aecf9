/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/adam.h"

#include "runtime/device/kernels.h"
#include "runtime/optim/optim_kinds.h"
#include "runtime/optim/power.h"
#include <math.h>

struct mu_adam_factors mu_adam_factors_of(
    const struct mu_adam_options *options, double learning_rate, int64_t step)
{
    double correction1 = 1 - mu_power(options->beta1, step);
    double correction2 = 1 - mu_power(options->beta2, step);
    return (struct mu_adam_factors){
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .rate = (float)(learning_rate / correction1),
        .denominator = (float)(1 / sqrt(correction2)),
        .epsilon = (float)options->epsilon,
        .decay = 1,
    };
}

/*
 * m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g * g;
 * p -= rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
 */
static void step_adam(const void *options, const struct mu_optim_step *step)
{
    struct mu_adam_factors factors =
        mu_adam_factors_of(options, (double)step->learning_rate, step->step);
    mu_kernels()->optim->adam(step, &factors);
}

/* t is the number of the step, not of the times that a row was touched. */
static void step_adam_rows(const void *options, const struct mu_optim_rows *table)
{
    struct mu_adam_factors factors =
        mu_adam_factors_of(options, (double)table->learning_rate, table->step);
    mu_kernels()->optim->adam_rows(table, &factors);
}

/* The decay is taken from the parameter, not added to the gradient. */
static void step_adamw(const void *options, const struct mu_optim_step *step)
{
    struct mu_adam_factors factors =
        mu_adam_factors_of(options, (double)step->learning_rate, step->step);
    factors.decay = 1 - step->learning_rate * step->weight_decay;
    struct mu_optim_step without = *step;
    without.weight_decay = 0;
    mu_kernels()->optim->adam(&without, &factors);
}

const struct mu_option mu_adam_rows[] = {
    {.name = "beta1",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_adam_options, beta1),
        .min = 0,
        .max = 0.999999,
        .fallback = "0.9",
        .doc = "part of the gradient's average kept each step"},
    {.name = "beta2",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_adam_options, beta2),
        .min = 0,
        .max = 0.999999,
        .fallback = "0.999",
        .doc = "part of the square's average kept each step"},
    {.name = "epsilon",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct mu_adam_options, epsilon),
        .min = 1e-12,
        .max = 1,
        .fallback = "1e-8",
        .doc = "added to the root of the square"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_adam = {
    .name = "adam",
    .doc = "Adam with bias correction (Kingma and Ba 2015)",
    .options = mu_adam_rows,
    .option_bytes = sizeof(struct mu_adam_options),
    .slot_count = 2,
    .slot_names = {"mean", "square"},
    .step = step_adam,
    .step_rows = step_adam_rows,
};

const struct mu_optimizer_ops mu_adamw = {
    .name = "adamw",
    .doc = "Adam with decoupled weight decay (Loshchilov and Hutter 2019)",
    .options = mu_adam_rows,
    .option_bytes = sizeof(struct mu_adam_options),
    .slot_count = 2,
    .slot_names = {"mean", "square"},
    .step = step_adamw,
};
