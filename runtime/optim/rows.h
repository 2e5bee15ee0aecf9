/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_ROWS_H
#define MU_OPTIM_ROWS_H

#include "muster/optimizer.h"

/* The optimizer's step over rows of a table: bit for bit what `step` makes of each of them, with
 * rank 0. Allocates nothing. */
void mu_optim_step_rows(const struct mu_optimizer_ops *optimizer, const void *options,
    const struct mu_optim_rows *rows);

#endif
