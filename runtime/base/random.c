/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/random.h"
#include <assert.h>
#include <math.h>

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

static uint64_t finalize(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t mu_random_mix(uint64_t seed, uint64_t position)
{
    /* The seed is mixed first, or neighbouring seeds would give shifted copies of one sequence. */
    return finalize(finalize(seed + GOLDEN_GAMMA) + (position + 1) * GOLDEN_GAMMA);
}

void mu_random_init(struct mu_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = finalize(seed += GOLDEN_GAMMA);
}

static uint64_t rotate_left(uint64_t word, int bits)
{
    return (word << bits) | (word >> (64 - bits));
}

uint64_t mu_random_next(struct mu_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

__extension__ typedef unsigned __int128 uint128;

uint64_t mu_random_below(struct mu_random *random, uint64_t bound)
{
    assert(bound > 0);
    uint128 product = (uint128)mu_random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t reject_below = -bound % bound; /* 2^64 mod bound */
        while ((uint64_t)product < reject_below)
            product = (uint128)mu_random_next(random) * bound;
    }
    return (uint64_t)(product >> 64);
}

double mu_random_unit(struct mu_random *random)
{
    return (double)(mu_random_next(random) >> 11) * 0x1p-53;
}

double mu_random_normal(struct mu_random *random)
{
    /* The second number of the pair is thrown away: the state stays four words. */
    for (;;) {
        double x = 2 * mu_random_unit(random) - 1;
        double y = 2 * mu_random_unit(random) - 1;
        double square = x * x + y * y;
        if (square > 0 && square < 1)
            return x * sqrt(-2 * log(square) / square);
    }
}

void mu_random_permutation(uint64_t seed, uint32_t *ret_order, uint32_t count)
{
    struct mu_random random;
    mu_random_init(&random, seed);
    for (uint32_t i = 0; i < count; i++)
        ret_order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)mu_random_below(&random, i);
        uint32_t kept = ret_order[i - 1];
        ret_order[i - 1] = ret_order[j];
        ret_order[j] = kept;
    }
}
