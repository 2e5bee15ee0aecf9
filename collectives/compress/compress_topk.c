/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include "collectives/compress/compress_select.h"
#include "runtime/device/kernels.h"
#include <stdio.h>
#include <stdlib.h>

/*
 * Each rank sends its elements of the largest magnitude (Strom 2015, Lin 2018):
 *
 *     acc = gradient + residual
 *     pairs (index, value) of the k largest |acc|, of equals those that come first
 *     residual = acc, zero where it was sent
 *     all-gather the pairs; gradient = their sum, rank after rank
 *
 * k depends on the length of the bucket alone, so all know how much comes from whom.
 */
struct pair {
    uint32_t index; /* in the bucket */
    float value;
};
#define PAIR_WORDS (sizeof(struct pair) / sizeof(uint32_t))

struct topk {
    struct mu_compress_density density;
    int ranks;
    float *residual;
    struct pair *pairs; /* (ranks, k) */
    size_t *counts;     /* (ranks) of words */
    uint64_t sent_bytes;
};

static void close(void *state)
{
    struct topk *topk = state;
    if (!topk)
        return;
    free(topk->pairs);
    free(topk->counts);
    free(topk);
}

static enum mu_status open(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    if (layout->element_count > UINT32_MAX) {
        snprintf(group->error, sizeof(group->error),
            "top-k numbers elements with 32 bits; the gradient has %zu", layout->element_count);
        return MU_CONFIG;
    }
    struct topk *topk = calloc(1, sizeof(*topk));
    if (!topk)
        return MU_NO_MEMORY;
    topk->density = *(const struct mu_compress_density *)options;
    topk->ranks = group->count;
    topk->residual = residual;
    size_t most = mu_compress_density_most(&topk->density, layout->element_count);
    topk->pairs = calloc((size_t)group->count * most + 1, sizeof(*topk->pairs));
    topk->counts = calloc((size_t)group->count, sizeof(*topk->counts));
    if (!topk->pairs || !topk->counts) {
        close(topk);
        return MU_NO_MEMORY;
    }
    *ret_state = topk;
    return MU_OK;
}

/* Moves the `chosen` largest from `x` to `pairs`. What is left is finite. */
static void take(float *x, size_t count, size_t chosen, struct pair *pairs)
{
    struct mu_compress_cut cut = mu_compress_select(x, count, chosen);
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = mu_compress_select_magnitude(x[i]);
        if (magnitude < cut.magnitude || (magnitude == cut.magnitude && cut.ties == 0))
            continue;
        cut.ties -= magnitude == cut.magnitude;
        *pairs++ = (struct pair){(uint32_t)i, x[i]};
        x[i] = 0;
    }
    if (cut.magnitude >= MU_COMPRESS_SELECT_INFINITY) /* there may be more of that */
        mu_compress_scrub(x, count);
}

static enum mu_status add_pairs(
    struct mu_group *group, const struct pair *pairs, size_t chosen, struct mu_span span, float *x)
{
    for (size_t i = 0; i < chosen; i++) {
        if (pairs[i].index >= span.count) {
            snprintf(group->error, sizeof(group->error),
                "top-k: element %u of a bucket of %zu was received", pairs[i].index, span.count);
            return MU_PROTOCOL;
        }
        x[pairs[i].index] += pairs[i].value;
    }
    return MU_OK;
}

static enum mu_status allreduce(void *state, struct mu_group *group, struct mu_span span,
    float *data, int64_t step, int64_t deadline_ns, int *ret_rank)
{
    struct topk *topk = state;
    struct mu_compress_call call = {group, deadline_ns, ret_rank, &topk->sent_bytes};
    float *residual = topk->residual + span.first;
    size_t chosen = mu_compress_density_count(&topk->density, span.count, step);
    assert(group->count <= topk->ranks);
    if (span.count == 0)
        return MU_OK;
    mu_kernels()->add(residual, data, span.count);
    take(residual, span.count, chosen, topk->pairs + (size_t)group->rank * chosen);
    for (int r = 0; r < group->count; r++)
        topk->counts[r] = chosen * PAIR_WORDS;
    MU_TRY(mu_compress_gather(&call, topk->pairs, topk->counts));
    memset(data, 0, span.count * sizeof(*data));
    for (int r = 0; r < group->count; r++) {
        *ret_rank = r;
        MU_TRY(add_pairs(group, topk->pairs + (size_t)r * chosen, chosen, span, data));
    }
    *ret_rank = -1;
    return MU_OK;
}

static uint64_t sent_bytes(const void *state)
{
    const struct topk *topk = state;
    return topk->sent_bytes;
}

const struct mu_compressor_ops mu_compress_topk = {
    .name = "topk",
    .doc = "the largest elements of each replica, the rest later (Lin 2018)",
    .options = mu_compress_density_rows,
    .option_bytes = sizeof(struct mu_compress_density),
    .has_residual = true,
    .open = open,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = close,
};
