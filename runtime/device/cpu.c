/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/cpu.h"

#include "runtime/device/gemm.h"
#include <math.h>
#include <stdlib.h>

/* "cpu": the vector kernels of the best instruction set, on the caller's thread, deterministic. */
struct cpu {
    struct mu_device device;
    const struct mu_kernels *kernels;
    float *packed; /* gemm's workspace */
};

static struct cpu *cpu_of(struct mu_device *device)
{
    return (struct cpu *)device;
}

static void destroy(struct mu_device *device)
{
    struct cpu *cpu = cpu_of(device);
    free(cpu->packed);
    free(cpu);
}

static void gemm(struct mu_device *device, const struct mu_product *product)
{
    struct cpu *cpu = cpu_of(device);
    mu_gemm(cpu->kernels->gemm, cpu->packed, product);
}

static void bias_relu(
    struct mu_device *device, size_t rows, size_t columns, const float *bias, bool relu, float *x)
{
    cpu_of(device)->kernels->bias_relu(rows, columns, bias, relu, x);
}

static void relu_backward(struct mu_device *device, size_t count, const float *y, float *dx)
{
    cpu_of(device)->kernels->relu_backward(count, y, dx);
}

static void column_sums(
    struct mu_device *device, size_t rows, size_t columns, const float *dx, float *sums)
{
    cpu_of(device)->kernels->column_sums(rows, columns, dx, sums);
}

/* The index of the largest, the first of equals. */
static size_t largest(const float *x, size_t count)
{
    size_t best = 0;
    for (size_t j = 1; j < count; j++)
        if (x[j] > x[best])
            best = j;
    return best;
}

/* Shifted by the largest logit, so that no exponential overflows. */
static double softmax_row(size_t classes, size_t label, size_t best, float scale, float *logits)
{
    float shift = logits[best], of_label = logits[label] - shift, sum = 0;
    for (size_t j = 0; j < classes; j++) {
        logits[j] = expf(logits[j] - shift);
        sum += logits[j];
    }
    float by = scale / sum;
    for (size_t j = 0; j < classes; j++)
        logits[j] *= by;
    logits[label] -= scale;
    return log((double)sum) - (double)of_label;
}

static double softmax_loss(struct mu_device *device, size_t rows, size_t classes,
    const int32_t *labels, float scale, float *logits, size_t *ret_correct)
{
    (void)device;
    double loss = 0;
    size_t correct = 0;
    for (size_t i = 0; i < rows; i++) {
        size_t label = (size_t)labels[i];
        assert(label < classes);
        float *row = logits + i * classes;
        size_t best = largest(row, classes);
        correct += best == label;
        loss += softmax_row(classes, label, best, scale, row);
    }
    *ret_correct = correct;
    return loss;
}

static const struct mu_device_ops ops = {
    .name = "cpu",
    .doc = "vector kernels for this processor, one thread",
    .destroy = destroy,
    .gemm = gemm,
    .bias_relu = bias_relu,
    .relu_backward = relu_backward,
    .column_sums = column_sums,
    .softmax_loss = softmax_loss,
};

enum mu_status mu_cpu_create(
    const struct mu_kernels *kernels, struct mu_log *log, struct mu_device **ret_device)
{
    struct cpu *cpu = calloc(1, sizeof(*cpu));
    float *packed = aligned_alloc(64, MU_GEMM_PACKED_FLOATS * sizeof(float));
    if (!cpu || !packed) {
        free(cpu);
        free(packed);
        return mu_fail(log, MU_E0801, NULL, "no memory for the workspace of device `cpu`");
    }
    cpu->device.ops = &ops;
    cpu->kernels = kernels;
    cpu->packed = packed;
    *ret_device = &cpu->device;
    return MU_OK;
}
