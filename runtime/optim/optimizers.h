/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_OPTIMIZERS_H
#define MU_OPTIM_OPTIMIZERS_H

#include "muster/optimizer.h"

/* The registry: NULL-terminated. Adding a kind is one file and one line. */
extern const struct mu_optimizer_ops *const mu_optimizers[];
const struct mu_optimizer_ops *mu_optimizer_find(const char *name); /* NULL */

/* The part of a job's "optimizer" section that is the same for every kind. */
struct mu_optim_common {
    double learning_rate;
    double weight_decay;
    double clip_norm; /* 0: no clipping by global norm */
};
extern const struct mu_option mu_optim_common_rows[];

/* The factor that brings a gradient of this norm to at most clip_norm (Pascanu et al. 2013); 1 if
 * clip_norm is 0. */
float mu_optim_clip_scale(double clip_norm, double gradient_norm);

#endif
