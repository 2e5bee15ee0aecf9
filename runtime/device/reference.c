/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/cpu.h"

#include <math.h>
#include <stdlib.h>

/* "reference": the definitions as plain loops with sums in double, the oracle of other devices. */

static void destroy(struct mu_device *device)
{
    free(device);
}

/* Element (row, column) of op(x), which has `columns` columns as it is stored. */
static double element(
    const float *x, bool transpose, size_t stride, size_t columns, size_t row, size_t column)
{
    size_t step = stride ? stride : columns;
    return (double)(transpose ? x[column * step + row] : x[row * step + column]);
}

static void gemm(struct mu_device *device, const struct mu_product *product)
{
    (void)device;
    const struct mu_product *x = product;
    size_t a_columns = x->transpose_a ? x->m : x->k, b_columns = x->transpose_b ? x->k : x->n;
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < x->n; j++) {
            double sum = 0;
            for (size_t p = 0; p < x->k; p++)
                sum += element(x->a, x->transpose_a, x->a_stride, a_columns, i, p) *
                       element(x->b, x->transpose_b, x->b_stride, b_columns, p, j);
            float *c = &x->c[i * (x->c_stride ? x->c_stride : x->n) + j];
            double old = x->beta == 0 ? 0 : (double)x->beta * (double)*c;
            *c = (float)((double)x->alpha * sum + old);
        }
}

static void bias_relu(
    struct mu_device *device, size_t rows, size_t columns, const float *bias, bool relu, float *x)
{
    (void)device;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float sum = x[i * columns + j] + bias[j];
            x[i * columns + j] = relu && !(sum > 0) ? 0 : sum;
        }
}

static void relu_backward(struct mu_device *device, size_t count, const float *y, float *dx)
{
    (void)device;
    for (size_t i = 0; i < count; i++)
        if (!(y[i] > 0))
            dx[i] = 0;
}

static void column_sums(
    struct mu_device *device, size_t rows, size_t columns, const float *dx, float *sums)
{
    (void)device;
    for (size_t j = 0; j < columns; j++) {
        double sum = 0;
        for (size_t i = 0; i < rows; i++)
            sum += (double)dx[i * columns + j];
        sums[j] = (float)sum;
    }
}

static double softmax_row(
    size_t classes, size_t label, float scale, float *logits, size_t *ret_correct)
{
    size_t best = 0;
    for (size_t j = 1; j < classes; j++)
        if (logits[j] > logits[best])
            best = j;
    *ret_correct += best == label;
    double shift = (double)logits[best], sum = 0;
    for (size_t j = 0; j < classes; j++)
        sum += exp((double)logits[j] - shift);
    double loss = log(sum) + shift - (double)logits[label];
    for (size_t j = 0; j < classes; j++) {
        double probability = exp((double)logits[j] - shift) / sum;
        logits[j] = (float)((double)scale * (probability - (j == label ? 1 : 0)));
    }
    return loss;
}

static double softmax_loss(struct mu_device *device, size_t rows, size_t classes,
    const int32_t *labels, float scale, float *logits, size_t *ret_correct)
{
    (void)device;
    double loss = 0;
    *ret_correct = 0;
    for (size_t i = 0; i < rows; i++)
        loss += softmax_row(classes, (size_t)labels[i], scale, logits + i * classes, ret_correct);
    return loss;
}

static const struct mu_device_ops ops = {
    .name = "reference",
    .doc = "plain loops with sums in double: slow, the oracle of the others",
    .destroy = destroy,
    .gemm = gemm,
    .bias_relu = bias_relu,
    .relu_backward = relu_backward,
    .column_sums = column_sums,
    .softmax_loss = softmax_loss,
};

enum mu_status mu_reference_create(struct mu_log *log, struct mu_device **ret_device)
{
    struct mu_device *device = calloc(1, sizeof(*device));
    if (!device)
        return mu_fail(log, MU_E0801, NULL, "no memory for device `reference`");
    device->ops = &ops;
    *ret_device = device;
    return MU_OK;
}
