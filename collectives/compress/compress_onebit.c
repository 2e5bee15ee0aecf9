/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include "runtime/device/kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The sign of each element, and for each block of a tensor what the signs stand for: the mean of
 * the block's elements from zero up and that of those below (Seide 2014):
 *
 *     acc = gradient + residual
 *     of each block: low, high, and a bit for each element
 *     residual = acc - (low or high)
 *     all-gather; gradient = sum of everybody's low or high, rank after rank
 *
 * Blocks and not whole tensors: gradients differ by orders of magnitude from row to row, and a row
 * that is zero (an input that never fires) stays so.
 */
#define LEVEL_WORDS 2
#define WORD_BITS 32

struct options {
    int64_t block;
};

struct onebit {
    struct mu_layout layout;
    size_t block;
    int ranks;
    float *residual;
    uint32_t *words; /* (ranks, words of a bucket) */
    size_t *counts;  /* (ranks) of words */
    uint64_t sent_bytes;
};

/* The blocks of a bucket, one after the other; they never reach from one view to the next. */
struct walk {
    const struct onebit *onebit;
    struct mu_span span;
    int view;
    size_t done; /* of the view's piece */
};

/* `ret_block`: relative to the bucket. */
static bool next_block(struct walk *walk, struct mu_span *ret_block)
{
    const struct mu_layout *layout = &walk->onebit->layout;
    for (; walk->view < layout->view_count; walk->view++, walk->done = 0) {
        struct mu_span piece = mu_compress_piece(layout, walk->view, walk->span);
        size_t left = piece.count - walk->done;
        if (left == 0)
            continue;
        ret_block->first = piece.first - walk->span.first + walk->done;
        ret_block->count = left < walk->onebit->block ? left : walk->onebit->block;
        walk->done += ret_block->count;
        return true;
    }
    return false;
}

static size_t words_of(size_t block_count)
{
    return LEVEL_WORDS + (block_count + WORD_BITS - 1) / WORD_BITS;
}

static size_t words_of_bucket(const struct onebit *onebit, struct mu_span span)
{
    struct walk walk = {onebit, span, 0, 0};
    struct mu_span block;
    size_t words = 0;
    while (next_block(&walk, &block))
        words += words_of(block.count);
    return words;
}

/* ---- one block ---- */

static uint32_t is_high(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return ~bits >> 31;
}

/* Of the word that begins at element i. */
static size_t bits_at(size_t i, size_t count)
{
    return count - i < WORD_BITS ? count - i : WORD_BITS;
}

static void set_bits(const float *x, size_t count, uint32_t *words)
{
    for (size_t i = 0; i < count; i += WORD_BITS, x += WORD_BITS) {
        size_t bits = bits_at(i, count);
        uint32_t word = 0;
        for (size_t bit = 0; bit < bits; bit++)
            word |= is_high(x[bit]) << bit;
        *words++ = word;
    }
}

/* The sums of x and of |x|: half their difference is that of what is below zero, so that nothing
 * depends on signs, which cannot be foretold. Several at once, as one addition waits for another.
 */
#define LANES 4

static void find_sums(const float *x, size_t count, double *ret_sum, double *ret_magnitude)
{
    double sum[LANES] = {0}, magnitude[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        sum[i % LANES] += (double)x[i];
        magnitude[i % LANES] += fabs((double)x[i]);
    }
    *ret_sum = sum[0] + sum[1] + sum[2] + sum[3];
    *ret_magnitude = magnitude[0] + magnitude[1] + magnitude[2] + magnitude[3];
}

static void find_levels(
    const float *x, size_t count, const uint32_t *words, float level[LEVEL_WORDS])
{
    double sum, magnitude;
    size_t highs = 0;
    for (size_t i = 0; i < count; i += WORD_BITS)
        highs += (size_t)__builtin_popcount(*words++);
    find_sums(x, count, &sum, &magnitude);
    level[0] = highs < count ? (float)((sum - magnitude) / 2 / (double)(count - highs)) : 0;
    level[1] = highs > 0 ? (float)((sum + magnitude) / 2 / (double)highs) : 0;
}

/* x += or -= what the words say. */
static void decode_add(float *x, size_t count, const uint32_t *words, float sign)
{
    float level[LEVEL_WORDS];
    memcpy(level, words, sizeof(level));
    level[0] *= sign;
    level[1] *= sign;
    words += LEVEL_WORDS;
    for (size_t i = 0; i < count; i += WORD_BITS, x += WORD_BITS) {
        size_t bits = bits_at(i, count);
        uint32_t word = *words++;
        for (size_t bit = 0; bit < bits; bit++)
            x[bit] += level[word >> bit & 1];
    }
}

/* Writes the block's words; x becomes what they do not say. */
static void encode(float *x, size_t count, uint32_t *words)
{
    float level[LEVEL_WORDS];
    set_bits(x, count, words + LEVEL_WORDS);
    find_levels(x, count, words + LEVEL_WORDS, level);
    memcpy(words, level, sizeof(level));
    decode_add(x, count, words, -1);
}

/* ---- buckets ---- */

static void encode_bucket(
    const struct onebit *onebit, struct mu_span span, float *x, uint32_t *words)
{
    struct walk walk = {onebit, span, 0, 0};
    struct mu_span block;
    while (next_block(&walk, &block)) {
        encode(x + block.first, block.count, words);
        words += words_of(block.count);
    }
}

static void decode_bucket(
    const struct onebit *onebit, struct mu_span span, float *x, const uint32_t *words)
{
    struct walk walk = {onebit, span, 0, 0};
    struct mu_span block;
    while (next_block(&walk, &block)) {
        decode_add(x + block.first, block.count, words, 1);
        words += words_of(block.count);
    }
}

static void close(void *state)
{
    struct onebit *onebit = state;
    if (!onebit)
        return;
    free(onebit->words);
    free(onebit->counts);
    free(onebit);
}

static enum mu_status open(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    struct onebit *onebit = calloc(1, sizeof(*onebit));
    if (!onebit)
        return MU_NO_MEMORY;
    onebit->layout = *layout;
    onebit->block = (size_t)((const struct options *)options)->block;
    onebit->ranks = group->count;
    onebit->residual = residual;
    size_t words = words_of_bucket(onebit, (struct mu_span){0, layout->element_count});
    onebit->words = calloc((size_t)group->count * words + 1, sizeof(*onebit->words));
    onebit->counts = calloc((size_t)group->count, sizeof(*onebit->counts));
    if (!onebit->words || !onebit->counts) {
        close(onebit);
        return MU_NO_MEMORY;
    }
    *ret_state = onebit;
    return MU_OK;
}

static enum mu_status allreduce(void *state, struct mu_group *group, struct mu_span span,
    float *data, int64_t step, int64_t deadline_ns, int *ret_rank)
{
    struct onebit *onebit = state;
    struct mu_compress_call call = {group, deadline_ns, ret_rank, &onebit->sent_bytes};
    float *residual = onebit->residual + span.first;
    size_t words = words_of_bucket(onebit, span);
    assert(group->count <= onebit->ranks);
    if (words == 0)
        return MU_OK;
    mu_kernels()->add(residual, data, span.count);
    encode_bucket(onebit, span, residual, onebit->words + (size_t)group->rank * words);
    mu_compress_scrub(residual, span.count);
    for (int r = 0; r < group->count; r++)
        onebit->counts[r] = words;
    MU_TRY(mu_compress_gather(&call, onebit->words, onebit->counts));
    memset(data, 0, span.count * sizeof(*data));
    for (int r = 0; r < group->count; r++)
        decode_bucket(onebit, span, data, onebit->words + (size_t)r * words);
    return MU_OK;
}

static uint64_t sent_bytes(const void *state)
{
    const struct onebit *onebit = state;
    return onebit->sent_bytes;
}

static const struct mu_option rows[] = {
    {.name = "block",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct options, block),
        .min = 32,
        .max = 1e12,
        .fallback = "256",
        .doc = "elements that share two levels"},
    {.name = NULL},
};

const struct mu_compressor_ops mu_compress_onebit = {
    .name = "onebit",
    .doc = "the sign of each element, what it leaves out later (Seide 2014); wants a lower "
           "learning rate with momentum",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .has_residual = true,
    .open = open,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = close,
};
