/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_OPTIM_KINDS_H
#define MU_OPTIM_OPTIM_KINDS_H

#include "muster/optimizer.h"
#include "runtime/optim/schedules.h"

/* The drivers behind the two registries of this folder; others use the registries. */
extern const struct mu_optimizer_ops mu_sgd, mu_momentum, mu_adagrad, mu_rmsprop, mu_adam, mu_adamw,
    mu_ftrl, mu_lars, mu_lamb;
extern const struct mu_schedule_ops mu_schedule_constant, mu_schedule_step, mu_schedule_cosine;

#endif
