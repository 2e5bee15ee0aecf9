/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_KERNELS_H
#define MU_DEVICE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Loops over flat vectors on the CPU, compiled for several instruction sets and chosen once at run
 * time. Element-wise kernels give bit-equal results on all of them (no contraction); sums go
 * through 16 lanes in a fixed order, so they do too.
 */
struct mu_kernels {
    const char *name; /* "avx512", "avx2", "baseline" */
    void (*add)(float *to, const float *from, size_t count);                /* to += from */
    void (*scale)(float *x, float by, size_t count);                        /* x *= by */
    double (*square_sum)(const float *x, size_t count);                     /* sum of x*x, in double */
    void (*from_bytes)(float *to, const uint8_t *from, size_t count);       /* from / 255 */
};

/* The best for this processor. */
const struct mu_kernels *mu_kernels(void);
/* All that were built and that this processor can run, for tests: NULL after the last. */
const struct mu_kernels *mu_kernels_at(int index);

#endif
