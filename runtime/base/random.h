/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_RANDOM_H
#define MU_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Mixes two numbers to one (SplitMix64's finalizer, Steele et al. 2014): pure functions of a seed
 * and a position need no state to save. */
uint64_t mu_random_mix(uint64_t seed, uint64_t position);

/* A stream: xoshiro256** (Blackman and Vigna 2018), seeded through SplitMix64. Its whole state is
 * the four words. */
struct mu_random {
    uint64_t state[4];
};
void mu_random_init(struct mu_random *random, uint64_t seed);
uint64_t mu_random_next(struct mu_random *random);
/* Uniform below `bound` > 0, without bias (Lemire 2019). */
uint64_t mu_random_below(struct mu_random *random, uint64_t bound);
/* Uniform in [0, 1), 53 bits. */
double mu_random_unit(struct mu_random *random);
/* Standard normal (Marsaglia's polar method). */
double mu_random_normal(struct mu_random *random);

/* A uniformly drawn order of 0 .. count-1 (Fisher and Yates), a pure function of the seed. */
void mu_random_permutation(uint64_t seed, uint32_t *ret_order, uint32_t count);

#endif
