/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_COMPRESS_SELECT_H
#define MU_COLLECTIVES_COMPRESS_SELECT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* |x| as a number that orders as |x| does; infinity and then NaN come last. */
static inline uint32_t mu_compress_select_magnitude(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits & 0x7fffffffu;
}

#define MU_COMPRESS_SELECT_INFINITY 0x7f800000u

/* Where the `chosen` largest magnitudes begin: all above `magnitude`, and `ties` of those that are
 * equal to it. */
struct mu_compress_cut {
    uint32_t magnitude;
    size_t ties;
};

/* 1 <= chosen <= count <= UINT32_MAX. Three passes, one digit of the magnitude each: a radix sort
 * of which only the bin that holds the cut is looked into. */
struct mu_compress_cut mu_compress_select(const float *x, size_t count, size_t chosen);

#endif
