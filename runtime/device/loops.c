/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"

#include "runtime/device/levels.h"
#include <string.h>

/*
 * The element-wise loops and sums, compiled once for each instruction set, without contraction:
 * plain C that the compiler turns into vectors. MU_KERNELS, MU_OPTIM_KERNELS and MU_GEMM_KERNEL are
 * the names of this copy's tables (see meson.build).
 */
#define LANES 16

static void add(float *restrict to, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void scale(float *x, float by, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= by;
}

/* Lane l sums the elements l, l + 16, ...; then the lanes are summed in order. */
static double square_sum(const float *x, size_t count)
{
    double lanes[LANES] = {0};
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)x[i + lane] * (double)x[i + lane];
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += (double)x[i] * (double)x[i];
    double sum = 0;
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

#define MAGNITUDE UINT32_C(0x7fffffff)
#define LOOK_AHEAD 512 /* elements: further than the processor itself looks */

/* A register: larger ones the compiler would take through memory. */
#if defined(__AVX512F__)
#define LOOK_LANES 16
#elif defined(__AVX2__)
#define LOOK_LANES 8
#else
#define LOOK_LANES 4
#endif

typedef uint32_t lanes __attribute__((vector_size(LOOK_LANES * sizeof(uint32_t))));

static inline void look_at(const float *at, uint32_t room, lanes *any)
{
    lanes bits;
    memcpy(&bits, at, sizeof(bits));
    *any |= (bits & MAGNITUDE) + room;
}

/* The bits of floats order as their magnitudes do, infinity and NaN last: so not by arithmetic,
 * which is slow for denormals. What lies between the limit and the sign is added; what reaches the
 * limit runs over into the sign. */
static bool are_below(const float *x, size_t count, float limit)
{
    lanes even = {0}, odd = {0};
    uint32_t bits, room, any = 0;
    size_t i = 0;
    memcpy(&bits, &limit, sizeof(bits));
    room = MAGNITUDE + 1 - bits;
    for (; i + 4 * LOOK_LANES <= count; i += 4 * LOOK_LANES) {
        for (size_t ahead = 0; ahead < 4 * LOOK_LANES; ahead += LANES)
            __builtin_prefetch(x + i + ahead + LOOK_AHEAD);
        look_at(x + i, room, &even);
        look_at(x + i + LOOK_LANES, room, &odd);
        look_at(x + i + 2 * LOOK_LANES, room, &even);
        look_at(x + i + 3 * LOOK_LANES, room, &odd);
    }
    for (; i < count; i++) {
        memcpy(&bits, x + i, sizeof(bits));
        any |= (bits & MAGNITUDE) + room;
    }
    even |= odd;
    for (size_t lane = 0; lane < LOOK_LANES; lane++)
        any |= even[lane];
    return any <= MAGNITUDE;
}

static void from_bytes(float *restrict to, const uint8_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (float)from[i] / 255.0F;
}

static void bias_relu_row(size_t columns, const float *restrict bias, bool relu, float *restrict x)
{
    if (relu) {
        for (size_t j = 0; j < columns; j++) {
            float sum = x[j] + bias[j];
            x[j] = sum > 0 ? sum : 0;
        }
    } else {
        add(x, bias, columns);
    }
}

static void bias_relu(size_t rows, size_t columns, const float *bias, bool relu, float *x)
{
    for (size_t i = 0; i < rows; i++)
        bias_relu_row(columns, bias, relu, x + i * columns);
}

static void relu_backward(size_t count, const float *restrict y, float *restrict dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dx[i] : 0;
}

static void column_sums(size_t rows, size_t columns, const float *dx, float *sums)
{
    for (size_t j = 0; j < columns; j++)
        sums[j] = 0;
    for (size_t i = 0; i < rows; i++)
        add(sums, dx + i * columns, columns);
}

const struct mu_kernels MU_KERNELS = {
    .name = MU_LEVEL_NAME,
    .add = add,
    .scale = scale,
    .square_sum = square_sum,
    .are_below = are_below,
    .from_bytes = from_bytes,
    .bias_relu = bias_relu,
    .relu_backward = relu_backward,
    .column_sums = column_sums,
    .gemm = &MU_GEMM_KERNEL,
    .optim = &MU_OPTIM_KERNELS,
};
