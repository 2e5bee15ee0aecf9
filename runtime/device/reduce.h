/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_REDUCE_H
#define MU_DEVICE_REDUCE_H

#include "muster/collectives.h"
#include "runtime/device/kernels.h"

/*
 * Element by element, for every type and reduction; bit-equal on all instruction sets. `to` may be
 * `a` or `b`; no alignment is asked for beyond that of the type.
 */
struct mu_reducer {
    /* to = a (+) b */
    void (*two)(void *to, const void *a, const void *b, size_t count);
    /* to = ((from[0] (+) from[1]) (+) ...), one pass over memory; `to` may be one of them. */
    void (*many)(void *to, const void *const from[], int from_count, size_t count);
    /* Each of `to` gets the result of `many`: what a rank does with its part of vectors in shared
     * memory. Not past the cache: the lines that are stored have just been loaded, and streaming
     * them was measured to be slower. */
    void (*many_to_many)(
        void *const to[], const void *const from[], int vector_count, size_t count);
};

/* MEAN is as SUM. */
const struct mu_reducer *mu_reducer(enum mu_dtype dtype, enum mu_reduction reduction);
/* x /= by: the end of a mean. */
void mu_reduce_divide(enum mu_dtype dtype, void *x, int by, size_t count);

/* float32 to half types and back, to nearest even; NaN stays NaN. `half`: FLOAT16 or BFLOAT16. */
void mu_reduce_narrow(enum mu_dtype half, uint16_t *to, const float *from, size_t count);
void mu_reduce_widen(enum mu_dtype half, float *to, const uint16_t *from, size_t count);
/* to += from, the sum in float32. */
void mu_reduce_add_half(enum mu_dtype half, float *to, const uint16_t *from, size_t count);

#endif
