/* SPDX-License-Identifier: Apache-2.0 */
#include "models/auc.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A row is one number: the score's bits, so changed that they sort as scores do, over the label. */
#define LABEL_BITS 32
#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

static uint64_t key_of(float score, int32_t label)
{
    uint32_t bits;
    assert(label == 0 || label == 1);
    score = score == 0 ? 0 : score; /* -0 ties with 0 */
    memcpy(&bits, &score, sizeof(bits));
    bits = bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
    return (uint64_t)bits << LABEL_BITS | (uint64_t)label;
}

/* One pass of a radix sort: stable, by the digit from bit `shift`. */
static void sort_by_digit(const uint64_t *from, uint64_t *to, size_t count, int shift)
{
    size_t place[DIGITS + 1] = {0};
    for (size_t i = 0; i < count; i++)
        place[(from[i] >> shift) % DIGITS + 1]++;
    for (size_t digit = 1; digit < DIGITS; digit++)
        place[digit] += place[digit - 1];
    for (size_t i = 0; i < count; i++)
        to[place[(from[i] >> shift) % DIGITS]++] = from[i];
}

/* Keys in ascending order: each row of class 1 beats those of class 0 before it, and half of those
 * beside it. */
static double area(const uint64_t *keys, size_t count)
{
    double negatives = 0, positives = 0, wins = 0;
    for (size_t i = 0; i < count;) {
        uint64_t score = keys[i] >> LABEL_BITS;
        double tied[2] = {0};
        for (; i < count && keys[i] >> LABEL_BITS == score; i++)
            tied[keys[i] & 1]++;
        wins += tied[1] * (negatives + tied[0] / 2);
        negatives += tied[0];
        positives += tied[1];
    }
    return positives > 0 && negatives > 0 ? wins / positives / negatives : NAN;
}

enum mu_status mu_auc(const float *scores, const int32_t *labels, size_t count, double *ret_auc)
{
    *ret_auc = NAN;
    uint64_t *keys = calloc(2 * count + 1, sizeof(*keys));
    if (!keys)
        return MU_NO_MEMORY;
    uint64_t *sorted = keys + count;
    bool defined = true;
    for (size_t i = 0; i < count; i++) {
        defined = defined && !isnan(scores[i]);
        keys[i] = key_of(scores[i], labels[i]);
    }
    if (defined) { /* three digits cover the 32 bits of a score */
        sort_by_digit(keys, sorted, count, LABEL_BITS);
        sort_by_digit(sorted, keys, count, LABEL_BITS + DIGIT_BITS);
        sort_by_digit(keys, sorted, count, LABEL_BITS + 2 * DIGIT_BITS);
        *ret_auc = area(sorted, count);
    }
    free(keys);
    return MU_OK;
}
