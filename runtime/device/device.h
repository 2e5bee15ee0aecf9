/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DEVICE_DEVICE_H
#define MU_DEVICE_DEVICE_H

#include "runtime/base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where models compute. A device is made once a task and used by one thread at a time. Matrices
 * are row-major float32; every kernel writes its outputs whole unless it says that it adds.
 * The CPU driver with plain loops ("reference") is the oracle for the others.
 */
struct mu_device;

/* c (m, n) = alpha * op(a) * op(b) + beta * c; op(a) is (m, k), op(b) is (k, n); transposed
 * operands are stored (k, m) and (n, k). With beta 0, c is not read. A stride is the elements from
 * one stored row to the next; 0: the rows follow each other without gaps. */
struct mu_product {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    size_t a_stride, b_stride, c_stride;
};

struct mu_device_ops {
    const char *name; /* "cpu", "reference" */
    const char *doc;

    void (*destroy)(struct mu_device *device);

    void (*gemm)(struct mu_device *device, const struct mu_product *product);
    /* x (rows, columns) += bias (columns), then max(x, 0) where `relu`. */
    void (*bias_relu)(struct mu_device *device, size_t rows, size_t columns, const float *bias,
        bool relu, float *x);
    /* dx is cleared where the activation y is not positive. */
    void (*relu_backward)(struct mu_device *device, size_t count, const float *y, float *dx);
    /* bias gradient (columns) = sum over rows of dx (rows, columns). */
    void (*column_sums)(
        struct mu_device *device, size_t rows, size_t columns, const float *dx, float *sums);
    /* logits (rows, classes) become scale * (softmax - one hot); returns the summed loss and counts
     * the rows whose largest logit is the label's. scale 0 leaves the logits' values undefined. */
    double (*softmax_loss)(struct mu_device *device, size_t rows, size_t classes,
        const int32_t *labels, float scale, float *logits, size_t *ret_correct);
};

struct mu_device {
    const struct mu_device_ops *ops;
};

/* The registry: "cpu" (vector kernels, one thread), "reference" (plain loops). */
extern const char *const mu_device_names[]; /* NULL-terminated */
/* UNAVAILABLE (MU_E0802) if the device or its library is not on this machine. */
enum mu_status mu_device_create(
    const char *name, struct mu_log *log, struct mu_device **ret_device);
void mu_device_destroy(struct mu_device *device); /* takes NULL */

#endif
