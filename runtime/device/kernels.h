/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_KERNELS_H
#define MU_DEVICE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mu_gemm_kernel;
struct mu_optim_kernels;

/*
 * Loops over flat vectors on the CPU, compiled for several instruction sets and chosen once at run
 * time. Element-wise kernels give bit-equal results on all of them (no contraction); sums go
 * through 16 lanes in a fixed order, so they do too. Only gemm differs, where there is no fused
 * multiply-add (see runtime/device/gemm.h).
 */
struct mu_kernels {
    const char *name;                                        /* "avx512", "avx2", "baseline" */
    void (*add)(float *to, const float *from, size_t count); /* to += from */
    void (*scale)(float *x, float by, size_t count);         /* x *= by */
    double (*square_sum)(const float *x, size_t count);      /* sum of x*x, in double */
    void (*from_bytes)(float *to, const uint8_t *from, size_t count); /* from / 255 */
    /* Is every |x| a number less than `limit`? Which is more than 0. */
    bool (*are_below)(const float *x, size_t count, float limit);

    /* Of devices: the contracts are those of struct mu_device_ops. */
    void (*bias_relu)(size_t rows, size_t columns, const float *bias, bool relu, float *x);
    void (*relu_backward)(size_t count, const float *y, float *dx);
    void (*column_sums)(size_t rows, size_t columns, const float *dx, float *sums);
    const struct mu_gemm_kernel *gemm;

    const struct mu_optim_kernels *optim; /* of optimizers: runtime/device/optim_kernels.h */
};

/* The best for this processor. */
const struct mu_kernels *mu_kernels(void);
/* All that were built and that this processor can run, for tests: NULL after the last. */
const struct mu_kernels *mu_kernels_at(int index);

#endif
