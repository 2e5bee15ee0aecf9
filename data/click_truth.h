/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_CLICK_TRUTH_H
#define MU_DATA_CLICK_TRUTH_H

#include "data/zipf.h"
#include "runtime/base/log.h"

/*
 * A world of clicks whose law is known: a sample has one id of each field, drawn by Zipf's law, and
 * some numbers; a logistic model with sparse weights says how likely a click is. Sample and weights
 * are pure functions of (seed, split, index) and (seed, field, id): there are no tables.
 *
 *   logit = bias + sum of weight(field, id) + sum of weight(number) * number - their mean
 *   click   with probability 1 / (1 + exp(-(logit + noise)))
 */
#define MU_CLICK_FIELDS_MAX 256
#define MU_CLICK_NUMBERS_MAX 256
#define MU_CLICK_VOCABULARY_MAX (UINT64_C(1) << 32)

struct mu_click_law {
    uint64_t seed;
    size_t field_count, number_count;
    uint64_t vocabulary[MU_CLICK_FIELDS_MAX];
    double zipf, density, strength, noise, bias;
};

struct mu_click_truth {
    struct mu_click_law law;
    struct mu_zipf zipf[MU_CLICK_FIELDS_MAX];
    uint64_t first_id[MU_CLICK_FIELDS_MAX];   /* of a field */
    uint64_t multiplier[MU_CLICK_FIELDS_MAX]; /* turns ranks to ids */
    double number_weight[MU_CLICK_NUMBERS_MAX];
    uint64_t id_count;
    double mean;
};

/* "10,1000,50x3": fields with 10, 1000, 50, 50 and 50 ids. MU_E0203 saying what is wrong. */
enum mu_status mu_click_truth_fields(
    struct mu_log *log, const char *text, struct mu_click_law *ret_law);

void mu_click_truth_init(struct mu_click_truth *truth, const struct mu_click_law *law);

/* One sample: numbers (number_count), ids (field_count); either may be NULL. Returns the logit,
 * without noise. */
double mu_click_truth_sample(const struct mu_click_truth *truth, uint64_t split, uint64_t index,
    float *numbers, uint64_t *ids, int32_t *ret_label);

#endif
