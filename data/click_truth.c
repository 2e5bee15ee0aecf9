/* SPDX-License-Identifier: Apache-2.0 */
#include "data/click_truth.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define MEAN_SAMPLES 4096
#define MEAN_SPLIT UINT64_C(1000) /* no split of a data set */
#define WEIGHTS UINT64_C(2000)    /* what weights are drawn from, beside the seed */
#define NUMBERS UINT64_C(3000)

/* ---- fields ---- */

static enum mu_status wrong_fields(struct mu_log *log, const char *text, const char *why)
{
    return mu_fail(log, MU_E0203, "10,1000,50x3 is five fields: with 10, 1000, 50, 50 and 50 ids",
        "data.fields is `%s`: %s", text, why);
}

static bool take_number(const char **at, uint64_t most, uint64_t *ret_number)
{
    char *end;
    if ((unsigned char)(**at - '0') > 9)
        return false;
    errno = 0;
    *ret_number = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0 && *ret_number > 0 && *ret_number <= most;
}

enum mu_status mu_click_truth_fields(
    struct mu_log *log, const char *text, struct mu_click_law *ret_law)
{
    size_t count = 0;
    for (const char *at = text;; at++) {
        uint64_t vocabulary, times = 1;
        if (!take_number(&at, MU_CLICK_VOCABULARY_MAX, &vocabulary))
            return wrong_fields(log, text, "a field has 1 to 4294967296 ids");
        if (*at == 'x' && (at++, !take_number(&at, MU_CLICK_FIELDS_MAX, &times)))
            return wrong_fields(log, text, "after x comes how many such fields there are");
        if (times > MU_CLICK_FIELDS_MAX - count)
            return wrong_fields(log, text, "there may be 256 fields");
        while (times-- > 0)
            ret_law->vocabulary[count++] = vocabulary;
        if (*at == '\0')
            break;
        if (*at != ',')
            return wrong_fields(log, text, "fields are separated by commas");
    }
    ret_law->field_count = count;
    return MU_OK;
}

/* ---- draws ---- */

/* Nearly normal: four uniform numbers of 16 bits, summed. The same on every machine. */
static double normal_of(uint64_t bits)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(bits >> 16 * i & 0xffff);
    return (sum - 2 * 65535.0) / (65536 / 1.7320508075688772);
}

static double unit_of(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

static double weight_of(const struct mu_click_law *law, uint64_t field, uint64_t id)
{
    uint64_t bits = mu_random_mix(mu_random_mix(law->seed, WEIGHTS + field), id);
    if (unit_of(bits) >= law->density)
        return 0;
    return law->strength * normal_of(mu_random_mix(bits, 0));
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
    while (b > 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Frequent ids do not lie together: rank * multiplier modulo the vocabulary is one to one. */
static uint64_t draw_multiplier(uint64_t seed, uint64_t vocabulary)
{
    uint64_t multiplier = mu_random_mix(seed, vocabulary) % vocabulary;
    while (divisor(multiplier, vocabulary) != 1)
        multiplier++;
    return multiplier;
}

__extension__ typedef unsigned __int128 uint128;

double mu_click_truth_sample(const struct mu_click_truth *truth, uint64_t split, uint64_t index,
    float *numbers, uint64_t *ids, int32_t *ret_label)
{
    const struct mu_click_law *law = &truth->law;
    struct mu_random random;
    mu_random_init(&random, mu_random_mix(mu_random_mix(law->seed, split), index));
    double logit = law->bias - truth->mean;
    for (size_t i = 0; i < law->number_count; i++) {
        double number = fabs(normal_of(mu_random_next(&random)));
        logit += truth->number_weight[i] * number;
        if (numbers)
            numbers[i] = (float)number;
    }
    for (size_t i = 0; i < law->field_count; i++) {
        uint64_t rank = mu_zipf_draw(&truth->zipf[i], &random);
        uint64_t id = (uint64_t)((uint128)rank * truth->multiplier[i] % truth->law.vocabulary[i]);
        logit += weight_of(law, i, id);
        if (ids)
            ids[i] = truth->first_id[i] + id;
    }
    double moved = logit + law->noise * normal_of(mu_random_next(&random));
    *ret_label = mu_random_unit(&random) < 1 / (1 + exp(-moved));
    return logit;
}

static double measure_mean(const struct mu_click_truth *truth)
{
    double sum = 0;
    int32_t label;
    for (uint64_t i = 0; i < MEAN_SAMPLES; i++)
        sum += mu_click_truth_sample(truth, MEAN_SPLIT, i, NULL, NULL, &label) - truth->law.bias;
    return sum / MEAN_SAMPLES;
}

void mu_click_truth_init(struct mu_click_truth *truth, const struct mu_click_law *law)
{
    assert(law->field_count <= MU_CLICK_FIELDS_MAX);
    assert(law->number_count <= MU_CLICK_NUMBERS_MAX);
    *truth = (struct mu_click_truth){.law = *law};
    for (size_t i = 0; i < law->field_count; i++) {
        mu_zipf_init(&truth->zipf[i], law->zipf, law->vocabulary[i]);
        truth->first_id[i] = truth->id_count;
        truth->multiplier[i] = draw_multiplier(mu_random_mix(law->seed, i), law->vocabulary[i]);
        truth->id_count += law->vocabulary[i];
    }
    for (size_t i = 0; i < law->number_count; i++)
        truth->number_weight[i] = weight_of(law, NUMBERS, i);
    truth->mean = measure_mean(truth);
}
