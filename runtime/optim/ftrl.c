/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/device/optim_kernels.h"
#include "runtime/optim/optim_kinds.h"

struct options {
    double beta, l1, l2;
};

static struct mu_ftrl_factors factors_of(const struct options *options)
{
    return (struct mu_ftrl_factors){
        .beta = (float)options->beta, .l1 = (float)options->l1, .l2 = (float)options->l2};
}

/*
 * McMahan's algorithm 1, where alpha is the learning rate and w the stored parameter:
 *
 *   z += g - (sqrt(n + g * g) - sqrt(n)) / alpha * w;  n += g * g
 *   w = 0 if |z| <= l1, else -(z - sign(z) * l1) / ((beta + sqrt(n)) / alpha + l2)
 *
 * The slot is alpha * z. So a schedule changes the steps to come: with z itself a lower rate would
 * draw all weights to zero at once. l1 and l2 act at the present rate. A weight need not start at
 * zero: before its first gradient z is what gives the weight that is there.
 */
static void step_ftrl(const void *options, const struct mu_optim_step *step)
{
    struct mu_ftrl_factors factors = factors_of(options);
    mu_kernels()->optim->ftrl(step, &factors);
}

static void step_ftrl_rows(const void *options, const struct mu_optim_rows *table)
{
    struct mu_ftrl_factors factors = factors_of(options);
    mu_kernels()->optim->ftrl_rows(table, &factors);
}

static const struct mu_option rows[] = {
    {.name = "beta",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, beta),
        .min = 1e-6,
        .max = 1e6,
        .fallback = "1",
        .doc = "added to the root of the squares' sum; the rate begins at learning_rate / beta"},
    {.name = "l1",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, l1),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "L1 penalty: weights that are not worth it are exactly zero"},
    {.name = "l2",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct options, l2),
        .min = 0,
        .max = 1e6,
        .fallback = "0",
        .doc = "L2 penalty of the weight itself, beside weight_decay in its gradient"},
    {.name = NULL},
};

const struct mu_optimizer_ops mu_ftrl = {
    .name = "ftrl",
    .doc = "FTRL-proximal, for sparse linear models (McMahan et al. 2013)",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .slot_count = 2,
    .slot_names = {"z", "n"},
    .step = step_ftrl,
    .step_rows = step_ftrl_rows,
};
