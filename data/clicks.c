/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/click_truth.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log_quiet.h"
#include <assert.h>
#include <stdlib.h>

#define FIELDS_BYTES 1024
#define JUDGED_MAX 200000 /* test samples of which the best AUC is computed */
#define CRC_SAMPLES 256

struct options {
    int64_t samples, test_samples, seed, numbers;
    char fields[FIELDS_BYTES];
    double zipf, density, strength, noise, bias;
};

#define ROW(field) .name = #field, .offset = offsetof(struct options, field)

static const struct mu_option rows[] = {
    {ROW(samples), .type = MU_OPTION_INTEGER, .min = 1, .max = UINT32_MAX, .fallback = "200000",
        .doc = "samples to train with"},
    {ROW(test_samples), .type = MU_OPTION_INTEGER, .min = 1, .max = UINT32_MAX, .fallback = "20000",
        .doc = "samples to test with; none of them is trained with"},
    {ROW(seed), .type = MU_OPTION_INTEGER, .min = 0, .max = 1e15, .fallback = "1",
        .doc = "the same seed draws the same samples from the same weights"},
    {ROW(fields), .type = MU_OPTION_STRING, .bytes = FIELDS_BYTES,
        .fallback = "100x4,1000x4,10000x2,100000",
        .doc = "ids of each field: `10,1000,50x3` is five fields, three of them with 50 ids"},
    {ROW(numbers), .type = MU_OPTION_INTEGER, .min = 0, .max = MU_CLICK_NUMBERS_MAX,
        .fallback = "4", .doc = "numbers beside the ids of a sample"},
    {ROW(zipf), .type = MU_OPTION_REAL, .min = 0, .max = 10, .fallback = "1.05",
        .doc = "how skewed ids are: the r-th most frequent comes r^-zipf as often as the first"},
    {ROW(density), .type = MU_OPTION_REAL, .min = 0, .max = 1, .fallback = "0.5",
        .doc = "share of ids and numbers that matter; the others have weight 0"},
    {ROW(strength), .type = MU_OPTION_REAL, .min = 0, .max = 100, .fallback = "0.4",
        .doc = "standard deviation of the true weights"},
    {ROW(noise), .type = MU_OPTION_REAL, .min = 0, .max = 100, .fallback = "0",
        .doc = "standard deviation of what moves the logit of a sample and shows nowhere"},
    {ROW(bias), .type = MU_OPTION_REAL, .min = -30, .max = 30, .fallback = "-1.6",
        .doc = "logit of a click, on average: -1.6 is about 20 clicks in 100"},
    {0},
};

struct clicks {
    struct mu_click_truth truth;
    size_t sample_count;
    enum mu_split split;
};

/* ---- the best possible AUC ---- */

struct judged {
    double logit;
    int32_t label;
};

static int by_logit(const void *a, const void *b)
{
    double x = ((const struct judged *)a)->logit, y = ((const struct judged *)b)->logit;
    return (x > y) - (x < y);
}

/* The share of pairs (click, no click) that the logits order rightly, equal ones by half (Mann and
 * Whitney 1947). `sorted` is. */
static double area(const struct judged *sorted, size_t count, size_t clicks)
{
    double rank_sum = 0, pairs = (double)clicks * (double)(count - clicks);
    for (size_t first = 0, end; first < count; first = end) {
        size_t among = 0;
        for (end = first; end < count && sorted[end].logit == sorted[first].logit; end++)
            among += (size_t)sorted[end].label;
        rank_sum += (double)among * ((double)(first + end + 1) / 2);
    }
    return (rank_sum - (double)clicks * ((double)clicks + 1) / 2) / pairs;
}

static enum mu_status judge(const struct clicks *set, struct mu_log *log)
{
    size_t count = set->sample_count < JUDGED_MAX ? set->sample_count : JUDGED_MAX, clicks = 0;
    struct judged *judged = malloc(count * sizeof(*judged));
    if (!judged)
        return mu_fail(log, MU_E0801, NULL, "no memory for the logits of %zu samples", count);
    for (size_t i = 0; i < count; i++) {
        judged[i].logit =
            mu_click_truth_sample(&set->truth, set->split, i, NULL, NULL, &judged[i].label);
        clicks += (size_t)judged[i].label;
    }
    qsort(judged, count, sizeof(*judged), by_logit);
    if (clicks > 0 && clicks < count)
        mu_say(log, MU_LEVEL_INFO,
            "data: %.2f %% of the test samples are clicks; the true logits have AUC %.4f on %zu of "
            "them, the best that a model can expect",
            100 * (double)clicks / (double)count, area(judged, count, clicks), count);
    free(judged);
    return MU_OK;
}

/* ---- the data set ---- */

static void clicks_read_rows(const struct clicks *set, const uint32_t *index, size_t count,
    float *features, int32_t *labels, struct mu_entries *entries)
{
    size_t fields = set->truth.law.field_count, numbers = set->truth.law.number_count;
    entries->first[0] = 0;
    for (size_t row = 0; row < count; row++) {
        size_t first = row * fields;
        assert(index[row] < set->sample_count);
        (void)mu_click_truth_sample(&set->truth, set->split, index[row], features + row * numbers,
            entries->id + first, &labels[row]);
        for (size_t i = 0; i < fields; i++)
            entries->value[first + i] = 1;
        entries->first[row + 1] = (uint32_t)(first + fields);
    }
}

static enum mu_status clicks_read_sparse(void *dataset, const uint32_t *index, size_t count,
    float *features, int32_t *labels, struct mu_entries *entries, struct mu_log *log)
{
    clicks_read_rows(dataset, index, count, features, labels, entries);
    return MU_OK;
}

/* The law decides all samples; some of them are looked at too, for another libm could draw others
 * from it. */
static uint32_t checksum(const struct clicks *set)
{
    const struct mu_click_law *law = &set->truth.law;
    uint32_t crc = mu_crc32c(0, &set->sample_count, sizeof(set->sample_count));
    crc = mu_crc32c(crc, &set->split, sizeof(set->split));
    crc = mu_crc32c(crc, law, sizeof(*law));
    for (uint64_t i = 0; i < CRC_SAMPLES; i++) {
        float numbers[MU_CLICK_NUMBERS_MAX];
        uint64_t ids[MU_CLICK_FIELDS_MAX];
        int32_t label;
        (void)mu_click_truth_sample(&set->truth, set->split, i, numbers, ids, &label);
        crc = mu_crc32c(crc, numbers, law->number_count * sizeof(*numbers));
        crc = mu_crc32c(crc, ids, law->field_count * sizeof(*ids));
        crc = mu_crc32c(crc, &label, sizeof(label));
    }
    return crc;
}

static enum mu_status clicks_open(const void *options_void, enum mu_split split, struct mu_log *log,
    void **ret_dataset, struct mu_dataset_facts *ret_facts)
{
    const struct options *options = options_void;
    struct mu_click_law law = {.seed = (uint64_t)options->seed,
        .number_count = (size_t)options->numbers,
        .zipf = options->zipf,
        .density = options->density,
        .strength = options->strength,
        .noise = options->noise,
        .bias = options->bias};
    MU_TRY(mu_click_truth_fields(log, options->fields, &law));
    struct clicks *set = calloc(1, sizeof(*set));
    if (!set)
        return mu_fail(log, MU_E0801, NULL, "no memory for the data set");
    mu_click_truth_init(&set->truth, &law);
    set->split = split;
    set->sample_count =
        (size_t)(split == MU_SPLIT_TRAIN ? options->samples : options->test_samples);
    enum mu_status status = split == MU_SPLIT_TEST ? judge(set, log) : MU_OK;
    if (status != MU_OK) {
        free(set);
        return status;
    }
    *ret_facts = (struct mu_dataset_facts){
        .sample_count = set->sample_count,
        .feature_count = law.number_count,
        .class_count = 2,
        .entry_max = law.field_count,
        .field_count = law.field_count,
        .id_count = set->truth.id_count,
        .crc32c = checksum(set),
    };
    *ret_dataset = set;
    return MU_OK;
}

static size_t clicks_entries(const void *options_void)
{
    const struct options *options = options_void;
    struct mu_log quiet = mu_log_quiet();
    struct mu_click_law law = {0};
    return mu_click_truth_fields(&quiet, options->fields, &law) == MU_OK ? law.field_count : 0;
}

static void clicks_close(void *dataset)
{
    free(dataset);
}

const struct mu_dataset_ops mu_dataset_clicks = {
    .name = "clicks",
    .doc = "clicks on ids that follow Zipf's law, drawn by the program from a known truth: needs "
           "no files",
    .options = rows,
    .option_bytes = sizeof(struct options),
    .open = clicks_open,
    .entries = clicks_entries,
    .read_sparse = clicks_read_sparse,
    .close = clicks_close,
};
