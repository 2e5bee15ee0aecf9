/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_TENSORS_H
#define MU_OPTIM_TENSORS_H

#include "muster/optimizer.h"
#include "muster/tensor.h"
#include <stdbool.h>

/*
 * The optimizer's step over a span of the flat vector that `layout` describes: one call for all of
 * it, or one for each tensor where the optimizer asks for that and the layout is known (not NULL).
 * `step` has its pointers at the span's first element, and its count; its rank is not looked at. Of
 * a tensor that the span cuts, the part in the span is stepped as if it were the whole: a parameter
 * server knows no more.
 */
void mu_tensors_step(const struct mu_optimizer_ops *optimizer, const void *options,
    const struct mu_layout *layout, size_t first, const struct mu_optim_step *step);

/* Biases and gains, of rank 1, have none: their norms say little about how far they may go. */
bool mu_tensors_have_ratio(const struct mu_optim_step *step);
/* In double, in an order that depends on `count` alone: the same bits on every machine. */
double mu_tensors_norm(const float *x, size_t count);

#endif
