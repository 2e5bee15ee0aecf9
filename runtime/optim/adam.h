/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_ADAM_H
#define MU_OPTIM_ADAM_H

#include "muster/option.h"
#include "runtime/device/optim_kernels.h"

/* What Adam, AdamW and LAMB share. */
struct mu_adam_options {
    double beta1, beta2, epsilon;
};
extern const struct mu_option mu_adam_rows[];

/* With decay 1. The averages begin as zeros, so they are divided by what they lack of being an
 * average at `step` (1 for the first). */
struct mu_adam_factors mu_adam_factors_of(
    const struct mu_adam_options *options, double learning_rate, int64_t step);

#endif
