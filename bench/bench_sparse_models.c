/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"
#include "muster/dataset.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Rows and entries a second of forward and backward of the models of sparse data, on one thread,
 * the rows of the table being there: 13 dense features and 26 fields as in the Criteo data sets,
 * options as they default, batch 512 (or the first argument), ids drawn so that a few are frequent.
 * One JSON line a model: median, smallest and largest of five windows of about a second.
 */
#define WINDOWS 5
#define BATCHES 16
#define FEATURES 13
#define FIELDS 26
#define IDS 20000 /* of a field */

static const struct mu_dataset_facts facts = {
    .feature_count = FEATURES, .class_count = 2, .entry_max = FIELDS, .field_count = FIELDS};

/* A batch and its rows, in memory of their own. */
struct sample {
    struct mu_batch batch;
    struct mu_arena features, values, rows, gradient;
    int32_t *labels;
    uint32_t *first, *of_entry;
};

struct training {
    const struct mu_model_ops *ops;
    void *options, *model;
    struct mu_layout layout;
    struct mu_arena parameters, gradients;
    size_t batch, width;
    struct sample sample[BATCHES];
};

/* Small numbers are frequent: the fourth power of a uniform one. */
static uint32_t draw_id(struct mu_random *random)
{
    double unit = mu_random_unit(random);
    return (uint32_t)(unit * unit * unit * unit * IDS);
}

/* Which of the batch's rows each entry has: ids get numbers in the order in which they come. */
static size_t number_rows(struct sample *sample, size_t rows, struct mu_random *random)
{
    static uint32_t number_of[FIELDS * IDS]; /* one more than the number; 0: none yet */
    memset(number_of, 0, sizeof(number_of));
    uint32_t count = 0;
    for (size_t e = 0; e < rows * FIELDS; e++) {
        uint32_t *number = &number_of[e % FIELDS * IDS + draw_id(random)];
        if (*number == 0)
            *number = ++count;
        sample->of_entry[e] = *number - 1;
    }
    return count;
}

static void fill(float *x, size_t count, struct mu_random *random)
{
    for (size_t i = 0; i < count; i++)
        x[i] = 0.1F * (float)mu_random_normal(random);
}

static enum mu_status make_sample(
    struct sample *sample, size_t rows, size_t width, struct mu_random *random)
{
    size_t entries = rows * FIELDS;
    sample->labels = malloc(rows * sizeof(*sample->labels));
    sample->first = malloc((rows + 1) * sizeof(*sample->first));
    sample->of_entry = malloc(entries * sizeof(*sample->of_entry));
    if (!sample->labels || !sample->first || !sample->of_entry)
        return MU_NO_MEMORY;
    size_t count = number_rows(sample, rows, random);
    MU_TRY(mu_arena_init(&sample->features, rows * FEATURES));
    MU_TRY(mu_arena_init(&sample->values, entries));
    MU_TRY(mu_arena_init(&sample->rows, count * width));
    MU_TRY(mu_arena_init(&sample->gradient, count * width));
    fill(sample->features.data, rows * FEATURES, random);
    fill(sample->rows.data, count * width, random);
    for (size_t i = 0; i < rows; i++)
        sample->labels[i] = (int32_t)mu_random_below(random, 2);
    for (size_t i = 0; i <= rows; i++)
        sample->first[i] = (uint32_t)(i * FIELDS);
    for (size_t e = 0; e < entries; e++)
        sample->values.data[e] = 1;
    sample->batch = (struct mu_batch){.row_count = rows,
        .feature_count = FEATURES,
        .features = sample->features.data,
        .labels = sample->labels,
        .entries = {.first = sample->first, .value = sample->values.data},
        .rows = {.count = count,
            .width = width,
            .value = sample->rows.data,
            .of_entry = sample->of_entry,
            .gradient = sample->gradient.data}};
    return MU_OK;
}

static enum mu_status begin(
    struct training *training, const char *kind, struct mu_device *device, struct mu_log *log)
{
    const struct mu_model_ops *ops = training->ops = mu_model_find(kind);
    training->options = calloc(1, ops->option_bytes + 1);
    if (!training->options)
        return MU_NO_MEMORY;
    mu_options_defaults(ops->options, training->options);
    MU_TRY(ops->layout(training->options, &facts, log, &training->layout));
    MU_TRY(ops->row_width(training->options, &facts, log, &training->width));
    MU_TRY(mu_arena_init(&training->parameters, training->layout.element_count));
    MU_TRY(mu_arena_init(&training->gradients, training->layout.element_count));
    ops->init(training->options, &training->layout, 1, training->parameters.data);
    struct mu_random random;
    mu_random_init(&random, 1);
    for (int i = 0; i < BATCHES; i++)
        MU_TRY(make_sample(&training->sample[i], training->batch, training->width, &random));
    return ops->create(
        training->options, &training->layout, device, training->batch, &training->model);
}

static void end(struct training *training)
{
    training->ops->destroy(training->model);
    for (int i = 0; i < BATCHES; i++) {
        struct sample *sample = &training->sample[i];
        mu_arena_finish(&sample->features);
        mu_arena_finish(&sample->values);
        mu_arena_finish(&sample->rows);
        mu_arena_finish(&sample->gradient);
        free(sample->labels);
        free(sample->first);
        free(sample->of_entry);
    }
    mu_arena_finish(&training->parameters);
    mu_arena_finish(&training->gradients);
    free(training->options);
}

static void compute(struct training *training, const struct mu_batch *batch)
{
    struct mu_loss loss;
    const float *parameters = training->parameters.data;
    training->ops->forward(training->model, parameters, batch, &loss);
    training->ops->backward(training->model, parameters, batch, 1.0F / (float)batch->row_count,
        training->gradients.data, NULL);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double rows_per_second(struct training *training)
{
    double start = seconds_now(), now = start;
    int64_t batches = 0;
    for (; now - start < 1; now = seconds_now())
        for (int i = 0; i < BATCHES; i++, batches++)
            compute(training, &training->sample[i].batch);
    return (double)batches * (double)training->batch / (now - start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct training *training)
{
    double window[WINDOWS];
    compute(training, &training->sample[0].batch);
    for (int i = 0; i < WINDOWS; i++)
        window[i] = rows_per_second(training);
    qsort(window, WINDOWS, sizeof(window[0]), by_value);
    printf("{\"bench\":\"sparse_models\",\"model\":\"%s\",\"batch\":%zu,\"threads\":1,"
           "\"rows_per_second\":{\"median\":%.0f,\"min\":%.0f,\"max\":%.0f},"
           "\"entries_per_second\":%.0f}\n",
        training->ops->name, training->batch, window[WINDOWS / 2], window[0], window[WINDOWS - 1],
        FIELDS * window[WINDOWS / 2]);
}

static enum mu_status run(
    const char *kind, size_t batch, struct mu_device *device, struct mu_log *log)
{
    struct training *training = calloc(1, sizeof(*training));
    if (!training)
        return MU_NO_MEMORY;
    training->batch = batch;
    enum mu_status status = begin(training, kind, device, log);
    if (status == MU_OK)
        measure(training);
    end(training);
    free(training);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"linear", "factorization", "wide_deep"};
    struct mu_log log;
    mu_log_init_stderr(&log, MU_LEVEL_WARN);
    int64_t batch = 512;
    if (argc > 1 && (!mu_text_to_int64(argv[1], &batch) || batch < 1 || batch > 65536)) {
        fprintf(stderr, "usage: %s [BATCH]   1 to 65536\n", argv[0]);
        return mu_status_exit(MU_USAGE);
    }
    struct mu_device *device = NULL;
    enum mu_status status = mu_device_create("cpu", &log, &device);
    for (size_t i = 0; i < MU_COUNT_OF(kinds) && status == MU_OK; i++)
        status = run(kinds[i], (size_t)batch, device, &log);
    mu_device_destroy(device);
    return mu_status_exit(status);
}
