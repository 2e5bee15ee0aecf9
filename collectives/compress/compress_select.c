/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress_select.h"
#include <assert.h>

#define BINS_MAX 2048

/* The digits of a magnitude: 8 bits of exponent with 3 of fraction, then 10 and 10 of fraction. */
static const struct digit {
    int shift, bits;
} digits[] = {{20, 11}, {10, 10}, {0, 10}};

/* Neighbours count in different tables: they are alike, and to add to what was just written is to
 * wait for it. */
#define TABLES 4

/* Counts, of those whose upper digits are `prefix`, what the next digit is. */
static void count_bins(const float *x, size_t count, struct digit digit, uint32_t prefix,
    uint32_t bins[TABLES][BINS_MAX])
{
    uint32_t mask = (1u << digit.bits) - 1;
    memset(bins, 0, sizeof(uint32_t[TABLES][BINS_MAX]));
    for (size_t i = 0; i < count; i++) {
        uint32_t upper = mu_compress_select_magnitude(x[i]) >> digit.shift;
        if (upper >> digit.bits == prefix)
            bins[i % TABLES][upper & mask]++;
    }
    for (size_t table = 1; table < TABLES; table++)
        for (size_t bin = 0; bin <= mask; bin++)
            bins[0][bin] += bins[table][bin];
}

struct mu_compress_cut mu_compress_select(const float *x, size_t count, size_t chosen)
{
    uint32_t bins[TABLES][BINS_MAX];
    struct mu_compress_cut cut = {.ties = chosen};
    assert(chosen >= 1);
    assert(chosen <= count);
    assert(count <= UINT32_MAX);
    for (size_t d = 0; d < sizeof(digits) / sizeof(digits[0]); d++) {
        count_bins(x, count, digits[d], cut.magnitude, bins);
        uint32_t bin = (1u << digits[d].bits) - 1;
        for (; bins[0][bin] < cut.ties; bin--)
            cut.ties -= bins[0][bin];
        cut.magnitude = cut.magnitude << digits[d].bits | bin;
    }
    return cut;
}
