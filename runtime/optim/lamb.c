/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/optim/adam.h"
#include "runtime/optim/optim_kinds.h"
#include "runtime/optim/tensors.h"
#include <math.h>

/*
 * m and v as Adam's, with the correction of their begin; then
 *
 *   r = m / (sqrt(v) + epsilon) + decay * p;  p -= rate * (|p| / |r|) * r
 *
 * with a ratio of 1 where either norm is zero. The decay is decoupled from the gradient.
 */
static void step_lamb(const void *options, const struct mu_optim_step *step)
{
    const struct mu_optim_kernels *kernels = mu_kernels()->optim;
    struct mu_adam_factors factors = mu_adam_factors_of(options, 1, step->step);
    double direction = sqrt(kernels->lamb_averages(step, &factors)), ratio = 1;
    if (mu_tensors_have_ratio(step)) {
        double parameters = mu_tensors_norm(step->parameters, step->count);
        if (parameters > 0 && direction > 0)
            ratio = parameters / direction;
    }
    kernels->lamb(step, &factors, (float)(ratio * (double)step->learning_rate));
}

const struct mu_optimizer_ops mu_lamb = {
    .name = "lamb",
    .doc = "LAMB, Adam with a rate for each tensor of rank 2 or more (You et al. 2020)",
    .options = mu_adam_rows,
    .option_bytes = sizeof(struct mu_adam_options),
    .slot_count = 2,
    .slot_names = {"mean", "square"},
    .by_tensor = true,
    .step = step_lamb,
};
