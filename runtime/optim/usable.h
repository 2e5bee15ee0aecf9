/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_USABLE_H
#define MU_OPTIM_USABLE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What an optimizer can use of a gradient: elements that are numbers and, times their scale, less
 * than this. Sums of up to 2^79 of them are finite, so what is gathered or all-reduced is; so is
 * the sum of the squares of 2^32 of them, which adagrad and ftrl keep. A gradient that is looked at
 * by itself therefore needs no second look when it is added to others.
 */
#define MU_USABLE_LIMIT 0x1p48f

/* What elements that have this scale, a finite one, must be less than; infinity: finite. */
float mu_usable_limit(float scale);
/* Is every element a number of a magnitude less than `limit`, which is positive? */
bool mu_usable_are(const float *elements, size_t count, float limit);

#endif
