/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include "runtime/base/random.h"
#include "runtime/device/kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * All ranks send the same elements, drawn from (seed, step, bucket), so that the values alone
 * travel and are all-reduced (Stich 2018):
 *
 *     acc = gradient + residual
 *     the bucket is cut into k equal parts, and one element is drawn of each
 *     residual = acc, zero where it was drawn
 *     gradient = the sum of the drawn values, zero elsewhere
 *
 * One of each part, not k of all: each element has the same chance, it costs one number an element
 * that is sent, and indices ascend.
 */
struct randomk {
    struct mu_compress_density density;
    uint64_t seed;
    float *residual;
    float *values; /* (k) */
    uint64_t sent_bytes;
};

/* The drawn indices, one after the other. */
struct draw {
    struct mu_random random;
    size_t count, parts, part;
};

static struct draw draw_of(const struct randomk *randomk, struct mu_span span, int64_t step)
{
    struct draw draw = {.count = span.count};
    uint64_t seed = mu_random_mix(mu_random_mix(randomk->seed, (uint64_t)step), span.first);
    draw.parts = mu_compress_density_count(&randomk->density, span.count, step);
    mu_random_init(&draw.random, seed);
    return draw;
}

static size_t next_index(struct draw *draw)
{
    size_t each = draw->count / draw->parts, longer = draw->count % draw->parts;
    size_t part = draw->part++;
    size_t first = part * each + (part < longer ? part : longer);
    return first + mu_random_below(&draw->random, each + (part < longer));
}

static void close(void *state)
{
    struct randomk *randomk = state;
    if (!randomk)
        return;
    free(randomk->values);
    free(randomk);
}

static enum mu_status open(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    struct randomk *randomk = calloc(1, sizeof(*randomk));
    if (!randomk)
        return MU_NO_MEMORY;
    randomk->density = *(const struct mu_compress_density *)options;
    randomk->seed = seed;
    randomk->residual = residual;
    randomk->values = calloc(
        mu_compress_density_most(&randomk->density, layout->element_count) + 1, sizeof(float));
    if (!randomk->values) {
        close(randomk);
        return MU_NO_MEMORY;
    }
    *ret_state = randomk;
    return MU_OK;
}

static enum mu_status allreduce(void *state, struct mu_group *group, struct mu_span span,
    float *data, int64_t step, int64_t deadline_ns, int *ret_rank)
{
    struct randomk *randomk = state;
    struct mu_compress_call call = {group, deadline_ns, ret_rank, &randomk->sent_bytes};
    float *residual = randomk->residual + span.first, *values = randomk->values;
    if (span.count == 0)
        return MU_OK;
    mu_kernels()->add(residual, data, span.count);
    bool useless = mu_compress_scrub(residual, span.count);
    struct draw draw = draw_of(randomk, span, step);
    for (size_t i = 0; i < draw.parts; i++) {
        size_t index = next_index(&draw);
        values[i] = residual[index];
        residual[index] = 0;
    }
    if (useless) /* wherever it was, all must hear of it */
        values[0] = NAN;
    MU_TRY(mu_compress_sum(&call, values, draw.parts, MU_FLOAT32));
    memset(data, 0, span.count * sizeof(*data));
    draw = draw_of(randomk, span, step);
    for (size_t i = 0; i < draw.parts; i++)
        data[next_index(&draw)] = values[i];
    return MU_OK;
}

static uint64_t sent_bytes(const void *state)
{
    const struct randomk *randomk = state;
    return randomk->sent_bytes;
}

const struct mu_compressor_ops mu_compress_randomk = {
    .name = "randomk",
    .doc = "the same random elements of all replicas, the rest later (Stich 2018); gradients come "
           "in bursts: for sgd without momentum",
    .options = mu_compress_density_rows,
    .option_bytes = sizeof(struct mu_compress_density),
    .has_residual = true,
    .open = open,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = close,
};
