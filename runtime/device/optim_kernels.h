/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_OPTIM_KERNELS_H
#define MU_DEVICE_OPTIM_KERNELS_H

#include "muster/optimizer.h"
#include <stdbool.h>

/* What one step of Adam, AdamW or LAMB adds to struct mu_optim_step (runtime/optim/adam.c derives
 * them). */
struct mu_adam_factors {
    float beta1, beta2; /* of the moving averages in slots 0 and 1 */
    float rate;         /* learning rate / (1 - beta1^step); for LAMB without the learning rate */
    float denominator;  /* 1 / sqrt(1 - beta2^step) */
    float epsilon;
    float decay; /* the parameters are multiplied by this first; 1 unless decay is decoupled */
};

struct mu_adagrad_factors {
    float initial, epsilon;
};

struct mu_rmsprop_factors {
    float decay, momentum, epsilon;
};

struct mu_ftrl_factors {
    float beta, l1, l2;
};

/*
 * The loops of optimizers over flat vectors and over rows of tables; the formulas are in
 * runtime/optim. Both kinds of loop share the arithmetic of an element, so that a row gets the bits
 * that a span would. Compiled for each instruction set, as struct mu_kernels says.
 */
struct mu_optim_kernels {
    void (*sgd)(const struct mu_optim_step *step);
    void (*momentum)(const struct mu_optim_step *step, float momentum, bool nesterov);
    void (*adam)(const struct mu_optim_step *step, const struct mu_adam_factors *factors);
    void (*adagrad)(const struct mu_optim_step *step, const struct mu_adagrad_factors *factors);
    void (*rmsprop)(const struct mu_optim_step *step, const struct mu_rmsprop_factors *factors);
    void (*ftrl)(const struct mu_optim_step *step, const struct mu_ftrl_factors *factors);

    /* LAMB's two passes: the averages, and what the step's direction will be, as the sum of its
     * squares; then the step along it, `rate` long. Decay is part of the direction. */
    double (*lamb_averages)(
        const struct mu_optim_step *step, const struct mu_adam_factors *factors);
    void (*lamb)(
        const struct mu_optim_step *step, const struct mu_adam_factors *factors, float rate);

    void (*sgd_rows)(const struct mu_optim_rows *rows);
    void (*adam_rows)(const struct mu_optim_rows *rows, const struct mu_adam_factors *factors);
    void (*adagrad_rows)(
        const struct mu_optim_rows *rows, const struct mu_adagrad_factors *factors);
    void (*ftrl_rows)(const struct mu_optim_rows *rows, const struct mu_ftrl_factors *factors);
};

#endif
