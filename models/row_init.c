/* SPDX-License-Identifier: Apache-2.0 */
#include "models/row_init.h"

#include "runtime/base/random.h"
#include <assert.h>

/* The sum of twelve uniform numbers has variance 1 and looks normal up to six deviations (Irwin and
 * Hall 1927): arithmetic only, where a logarithm would differ between machines. Each is 16 bits of
 * one of three words. */
static double normal(uint64_t key, uint64_t position)
{
    uint64_t sum = 0;
    for (uint64_t word = 0; word < 3; word++) {
        uint64_t bits = mu_random_mix(key, 3 * position + word);
        for (int part = 0; part < 4; part++)
            sum += (bits >> (16 * part)) & 0xffff;
    }
    return ((double)sum + 6) / 0x1p16 -
           6; /* a number of 16 bits stands for the middle of its bin */
}

void mu_row_init(uint64_t seed, uint64_t id, double deviation, size_t width, float *ret_row)
{
    assert(width >= 1);
    uint64_t key = mu_random_mix(seed, id);
    ret_row[0] = 0;
    for (size_t i = 1; i < width; i++)
        ret_row[i] = (float)(deviation * normal(key, i));
}
