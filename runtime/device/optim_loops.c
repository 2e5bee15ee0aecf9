/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/optim_kernels.h"

#include "runtime/device/levels.h"
#include <math.h>

/*
 * The loops of optimizers, compiled once for each instruction set, without contraction: plain C
 * that the compiler turns into vectors. MU_OPTIM_KERNELS is the name of this copy's table (see
 * meson.build).
 *
 * Of each optimizer that has a loop over rows there is one function for `count` elements in a row;
 * a span is one such call, a table one for each of its rows. There it is compiled for the widths
 * that embeddings have, without a loop that counts:
 *
 *   row i      | w w w w | n n n n |          parameters, then each slot
 *   row i + 8                                 on its way into the cache
 */
#define LANES 16
#define ROWS_AHEAD 8
#define CACHE_LINE_FLOATS 16
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* What every step has. */
struct by {
    float rate, decay, scale;
};

static ALWAYS_INLINE struct by by_step(const struct mu_optim_step *step)
{
    return (struct by){step->learning_rate, step->weight_decay, step->gradient_scale};
}

/* `width` elements at `row`, their slots after them. */
typedef void row_step(
    size_t width, struct by by, const float *gradients, float *row, const void *factors);

static ALWAYS_INLINE void prefetch(const float *row, size_t floats)
{
    for (size_t i = 0; i < floats; i += CACHE_LINE_FLOATS)
        __builtin_prefetch(row + i, 1);
    __builtin_prefetch(row + floats - 1, 1);
}

static ALWAYS_INLINE void each_row(const struct mu_optim_rows *rows, size_t width, size_t vectors,
    row_step *step, const void *factors)
{
    struct by by = {rows->learning_rate, rows->weight_decay, rows->gradient_scale};
    const float *gradients = rows->gradients;
    for (size_t i = 0; i < rows->count; i++, gradients += width) {
        if (i + ROWS_AHEAD < rows->count)
            prefetch(rows->row[i + ROWS_AHEAD], width * vectors);
        step(width, by, gradients, rows->row[i], factors);
    }
}

/* `vectors`: 1 and the slots. */
static ALWAYS_INLINE void all_rows(
    const struct mu_optim_rows *rows, size_t vectors, row_step *step, const void *factors)
{
    switch (rows->width) {
    case 1:
        each_row(rows, 1, vectors, step, factors);
        break;
    case 8:
        each_row(rows, 8, vectors, step, factors);
        break;
    case 16:
        each_row(rows, 16, vectors, step, factors);
        break;
    case 17:
        each_row(rows, 17, vectors, step, factors);
        break;
    case 32:
        each_row(rows, 32, vectors, step, factors);
        break;
    default:
        each_row(rows, rows->width, vectors, step, factors);
        break;
    }
}

static ALWAYS_INLINE void sgd_elements(
    size_t count, struct by by, const float *restrict gradients, float *restrict parameters)
{
    for (size_t i = 0; i < count; i++) {
        float gradient = by.scale * gradients[i] + by.decay * parameters[i];
        parameters[i] -= by.rate * gradient;
    }
}

static void sgd(const struct mu_optim_step *step)
{
    sgd_elements(step->count, by_step(step), step->gradients, step->parameters);
}

static ALWAYS_INLINE void sgd_row(
    size_t width, struct by by, const float *gradients, float *row, const void *factors)
{
    (void)factors;
    sgd_elements(width, by, gradients, row);
}

static void sgd_rows(const struct mu_optim_rows *rows)
{
    all_rows(rows, 1, sgd_row, NULL);
}

static void momentum(const struct mu_optim_step *step, float factor, bool nesterov)
{
    float *restrict parameters = step->parameters;
    float *restrict velocity = step->slots[0];
    const float *restrict gradients = step->gradients;
    struct by by = by_step(step);
    for (size_t i = 0; i < step->count; i++) {
        float gradient = by.scale * gradients[i] + by.decay * parameters[i];
        float moved = factor * velocity[i] + gradient;
        velocity[i] = moved;
        parameters[i] -= by.rate * (nesterov ? gradient + factor * moved : moved);
    }
}

static ALWAYS_INLINE void adam_elements(size_t count, struct by by, const float *restrict gradients,
    float *restrict parameters, float *restrict mean, float *restrict square,
    struct mu_adam_factors f)
{
    float rest1 = 1 - f.beta1, rest2 = 1 - f.beta2;
    for (size_t i = 0; i < count; i++) {
        float gradient = by.scale * gradients[i] + by.decay * parameters[i];
        mean[i] = f.beta1 * mean[i] + rest1 * gradient;
        square[i] = f.beta2 * square[i] + rest2 * gradient * gradient;
        float root = sqrtf(square[i]) * f.denominator + f.epsilon;
        parameters[i] = f.decay * parameters[i] - f.rate * mean[i] / root;
    }
}

static void adam(const struct mu_optim_step *step, const struct mu_adam_factors *factors)
{
    adam_elements(step->count, by_step(step), step->gradients, step->parameters, step->slots[0],
        step->slots[1], *factors);
}

static ALWAYS_INLINE void adam_row(
    size_t width, struct by by, const float *gradients, float *row, const void *factors)
{
    const struct mu_adam_factors *f = factors;
    adam_elements(width, by, gradients, row, row + width, row + 2 * width, *f);
}

static void adam_rows(const struct mu_optim_rows *rows, const struct mu_adam_factors *factors)
{
    all_rows(rows, 3, adam_row, factors);
}

static ALWAYS_INLINE void adagrad_elements(size_t count, struct by by,
    const float *restrict gradients, float *restrict parameters, float *restrict square,
    struct mu_adagrad_factors f)
{
    for (size_t i = 0; i < count; i++) {
        float gradient = by.scale * gradients[i] + by.decay * parameters[i];
        square[i] += gradient * gradient;
        float root = sqrtf(square[i] + f.initial) + f.epsilon;
        parameters[i] -= by.rate * gradient / root;
    }
}

static void adagrad(const struct mu_optim_step *step, const struct mu_adagrad_factors *factors)
{
    adagrad_elements(
        step->count, by_step(step), step->gradients, step->parameters, step->slots[0], *factors);
}

static ALWAYS_INLINE void adagrad_row(
    size_t width, struct by by, const float *gradients, float *row, const void *factors)
{
    const struct mu_adagrad_factors *f = factors;
    adagrad_elements(width, by, gradients, row, row + width, *f);
}

static void adagrad_rows(const struct mu_optim_rows *rows, const struct mu_adagrad_factors *factors)
{
    all_rows(rows, 2, adagrad_row, factors);
}

static void rmsprop(const struct mu_optim_step *step, const struct mu_rmsprop_factors *factors)
{
    float *restrict parameters = step->parameters;
    float *restrict square = step->slots[0];
    float *restrict velocity = step->slots[1];
    const float *restrict gradients = step->gradients;
    struct mu_rmsprop_factors f = *factors;
    struct by by = by_step(step);
    float rest = 1 - f.decay;
    for (size_t i = 0; i < step->count; i++) {
        float gradient = by.scale * gradients[i] + by.decay * parameters[i];
        square[i] = f.decay * square[i] + rest * gradient * gradient;
        velocity[i] = f.momentum * velocity[i] + gradient / (sqrtf(square[i]) + f.epsilon);
        parameters[i] -= by.rate * velocity[i];
    }
}

/* At least -bound, at most bound. */
static ALWAYS_INLINE float clamp(float x, float bound)
{
    float upper = x > bound ? bound : x;
    return upper < -bound ? -bound : upper;
}

/* Of what has had no gradient yet, z is what gives its weight. */
static ALWAYS_INLINE void ftrl_elements(size_t count, struct by by, const float *restrict gradients,
    float *restrict parameters, float *restrict z, float *restrict square, struct mu_ftrl_factors f)
{
    float threshold = by.rate * f.l1, base = f.beta + by.rate * f.l2;
    for (size_t i = 0; i < count; i++) {
        float weight = parameters[i], before = square[i];
        float gradient = by.scale * gradients[i] + by.decay * weight;
        float after = before + gradient * gradient;
        float sign = (float)(weight > 0) - (float)(weight < 0);
        float first = -(base * weight) - threshold * sign;
        float old = before == 0 ? first : z[i];
        float root = sqrtf(after);
        float sum = old + (by.rate * gradient - (root - sqrtf(before)) * weight);
        square[i] = after;
        z[i] = sum;
        parameters[i] = (clamp(sum, threshold) - sum) / (base + root);
    }
}

static void ftrl(const struct mu_optim_step *step, const struct mu_ftrl_factors *factors)
{
    ftrl_elements(step->count, by_step(step), step->gradients, step->parameters, step->slots[0],
        step->slots[1], *factors);
}

static ALWAYS_INLINE void ftrl_row(
    size_t width, struct by by, const float *gradients, float *row, const void *factors)
{
    const struct mu_ftrl_factors *f = factors;
    ftrl_elements(width, by, gradients, row, row + width, row + 2 * width, *f);
}

static void ftrl_rows(const struct mu_optim_rows *rows, const struct mu_ftrl_factors *factors)
{
    all_rows(rows, 3, ftrl_row, factors);
}

static ALWAYS_INLINE float lamb_direction(
    float parameter, float mean, float square, float decay, struct mu_adam_factors f)
{
    float root = sqrtf(square) * f.denominator + f.epsilon;
    return f.rate * mean / root + decay * parameter;
}

/* Up to LANES elements from `first`; each adds to its lane. */
static ALWAYS_INLINE void lamb_lanes(const struct mu_optim_step *step, struct mu_adam_factors f,
    size_t first, size_t count, double lanes[restrict LANES])
{
    const float *restrict parameters = step->parameters + first;
    const float *restrict gradients = step->gradients + first;
    float *restrict mean = step->slots[0] + first;
    float *restrict square = step->slots[1] + first;
    float scale = step->gradient_scale, decay = step->weight_decay;
    float rest1 = 1 - f.beta1, rest2 = 1 - f.beta2;
    for (size_t i = 0; i < count; i++) {
        float gradient = scale * gradients[i];
        mean[i] = f.beta1 * mean[i] + rest1 * gradient;
        square[i] = f.beta2 * square[i] + rest2 * gradient * gradient;
        double direction = (double)lamb_direction(parameters[i], mean[i], square[i], decay, f);
        lanes[i] += direction * direction;
    }
}

static double lamb_averages(const struct mu_optim_step *step, const struct mu_adam_factors *factors)
{
    double lanes[LANES] = {0}, sum = 0;
    struct mu_adam_factors f = *factors;
    size_t whole = step->count / LANES * LANES;
    for (size_t first = 0; first < whole; first += LANES)
        lamb_lanes(step, f, first, LANES, lanes);
    lamb_lanes(step, f, whole, step->count - whole, lanes);
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static void lamb(
    const struct mu_optim_step *step, const struct mu_adam_factors *factors, float rate)
{
    float *restrict parameters = step->parameters;
    const float *restrict mean = step->slots[0];
    const float *restrict square = step->slots[1];
    float decay = step->weight_decay;
    struct mu_adam_factors f = *factors;
    for (size_t i = 0; i < step->count; i++)
        parameters[i] -= rate * lamb_direction(parameters[i], mean[i], square[i], decay, f);
}

const struct mu_optim_kernels MU_OPTIM_KERNELS = {
    .sgd = sgd,
    .momentum = momentum,
    .adam = adam,
    .adagrad = adagrad,
    .rmsprop = rmsprop,
    .ftrl = ftrl,
    .lamb_averages = lamb_averages,
    .lamb = lamb,
    .sgd_rows = sgd_rows,
    .adam_rows = adam_rows,
    .adagrad_rows = adagrad_rows,
    .ftrl_rows = ftrl_rows,
};
