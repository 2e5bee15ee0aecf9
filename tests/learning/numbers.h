/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TESTS_NUMBERS_H
#define MU_TESTS_NUMBERS_H

#include "runtime/base/random.h"

/* Normal numbers with a few exact zeros, from a seed. */
static inline void numbers_fill(float *x, size_t count, uint64_t seed)
{
    struct mu_random random;
    mu_random_init(&random, seed);
    for (size_t i = 0; i < count; i++)
        x[i] = mu_random_below(&random, 16) == 0 ? 0 : (float)mu_random_normal(&random);
}

#endif
