/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_REDUCE_HALF_H
#define MU_DEVICE_REDUCE_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * One float32 to half a word and back, by integer arithmetic without branches, so that loops of it
 * become vectors on every instruction set, with the same bits on all. To nearest even; what is too
 * large becomes infinity; every NaN becomes the one quiet NaN, so that no result depends on which
 * of two NaNs came first.
 */
static inline uint32_t mu_half_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float mu_half_value(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Masks instead of ?:, and signed comparisons (AVX2 has no others), or compilers make branches. */
static inline uint32_t mu_half_pick(bool which, uint32_t yes, uint32_t no)
{
    uint32_t mask = 0U - (uint32_t)which;
    return (yes & mask) | (no & ~mask);
}

static inline uint16_t mu_half_to_bfloat16(float value)
{
    uint32_t bits = mu_half_bits(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

static inline float mu_half_from_bfloat16(uint16_t half)
{
    return mu_half_value((uint32_t)half << 16);
}

static inline uint16_t mu_half_to_float16(float value)
{
    uint32_t bits = mu_half_bits(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    /* Normal: the exponent's bias goes from 127 to 15, and 13 bits of fraction are rounded away. */
    uint32_t normal = (size - (112U << 23) + 0xfff + (size >> 13 & 1)) >> 13;
    /* Below 2^-14: added to 0.5, the unit in the last place is that of a subnormal half, and the
     * addition rounds as it should. */
    uint32_t subnormal = mu_half_bits(mu_half_value(size) + 0.5F) - 0x3f000000;
    uint32_t half = mu_half_pick((int32_t)size < 113 << 23, subnormal, normal);
    half = mu_half_pick((int32_t)size >= 0x477ff000, 0x7c00, half); /* 65520 and more */
    return (uint16_t)mu_half_pick((int32_t)size > 0x7f800000, 0x7e00, half | sign);
}

static inline float mu_half_from_float16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    uint32_t normal = (size << 13) + (112U << 23);
    /* 0.5 with a subnormal's bits at the end, less the 0.5: exact. */
    uint32_t subnormal = mu_half_bits(mu_half_value(0x3f000000 | size) - 0.5F);
    uint32_t whole = mu_half_pick((int32_t)size < 0x400, subnormal, normal);
    whole = mu_half_pick((int32_t)size >= 0x7c00, 0x7f800000 | size << 13, whole);
    return mu_half_value(whole | sign);
}

#endif
