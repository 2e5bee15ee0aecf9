/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"
#include "muster/dataset.h"
#include "runtime/base/log.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include "runtime/device/device.h"
#include "runtime/optim/optimizers.h"
#include "runtime/tensor/arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * Samples a second of the training step of one process on one thread: forward, backward and SGD of
 * the MLP 784-512-512-10, batch 64 (or the first argument), on random data. One JSON line: median,
 * smallest and largest of five windows of about a second. bench/compare_torch.sh runs it against
 * PyTorch.
 */
#define WINDOWS 5
#define BATCHES 64

struct options {
    struct mu_integers widths;
};
static const struct options options = {{4, {784, 512, 512, 10}}};

struct training {
    const struct mu_model_ops *model_ops;
    const struct mu_optimizer_ops *optimizer;
    void *model;
    struct mu_layout layout;
    struct mu_arena parameters, gradients, features;
    int32_t *labels;
    size_t batch;
};

static void fill(struct training *training)
{
    struct mu_random random;
    mu_random_init(&random, 1);
    for (size_t i = 0; i < training->features.count; i++)
        training->features.data[i] = (float)mu_random_normal(&random);
    for (size_t i = 0; i < BATCHES * training->batch; i++)
        training->labels[i] = (int32_t)mu_random_below(&random, 10);
}

static enum mu_status begin(struct training *training, struct mu_device *device, struct mu_log *log)
{
    size_t rows = training->batch;
    training->model_ops = mu_model_find("mlp");
    training->optimizer = mu_optimizer_find("sgd");
    const struct mu_dataset_facts facts = {.feature_count = 784, .class_count = 10};
    MU_TRY(training->model_ops->layout(&options, &facts, log, &training->layout));
    MU_TRY(mu_arena_init(&training->parameters, training->layout.element_count));
    MU_TRY(mu_arena_init(&training->gradients, training->layout.element_count));
    MU_TRY(mu_arena_init(&training->features, BATCHES * rows * 784));
    training->labels = malloc(BATCHES * rows * sizeof(int32_t));
    if (!training->labels)
        return MU_NO_MEMORY;
    fill(training);
    training->model_ops->init(&options, &training->layout, 1, training->parameters.data);
    return training->model_ops->create(&options, &training->layout, device, rows, &training->model);
}

static void end(struct training *training)
{
    training->model_ops->destroy(training->model);
    mu_arena_finish(&training->parameters);
    mu_arena_finish(&training->gradients);
    mu_arena_finish(&training->features);
    free(training->labels);
}

static void train(struct training *training, int64_t index)
{
    size_t rows = training->batch, at = (size_t)(index % BATCHES) * rows;
    struct mu_batch batch = {.row_count = rows,
        .feature_count = 784,
        .features = training->features.data + at * 784,
        .labels = training->labels + at};
    struct mu_loss loss;
    float *parameters = training->parameters.data;
    training->model_ops->forward(training->model, parameters, &batch, &loss);
    training->model_ops->backward(
        training->model, parameters, &batch, 1.0F / (float)rows, training->gradients.data, NULL);
    struct mu_optim_step step = {.count = training->layout.element_count,
        .parameters = parameters,
        .gradients = training->gradients.data,
        .learning_rate = 0.01F,
        .gradient_scale = 1,
        .step = index + 1};
    training->optimizer->step(NULL, &step);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double samples_per_second(struct training *training)
{
    double start = seconds_now(), now = start;
    int64_t steps = 0;
    for (; now - start < 1; now = seconds_now())
        for (int i = 0; i < 16; i++)
            train(training, steps++);
    return (double)steps * (double)training->batch / (now - start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct training *training)
{
    double window[WINDOWS];
    for (int64_t i = 0; i < 10; i++)
        train(training, i);
    for (int i = 0; i < WINDOWS; i++)
        window[i] = samples_per_second(training);
    qsort(window, WINDOWS, sizeof(window[0]), by_value);
    printf("{\"bench\":\"compute\",\"model\":\"784-512-512-10\",\"batch\":%zu,\"threads\":1,"
           "\"samples_per_second\":{\"median\":%.0f,\"min\":%.0f,\"max\":%.0f}}\n",
        training->batch, window[WINDOWS / 2], window[0], window[WINDOWS - 1]);
}

int main(int argc, char **argv)
{
    struct mu_log log;
    mu_log_init_stderr(&log, MU_LEVEL_WARN);
    int64_t batch = 64;
    if (argc > 1 && (!mu_text_to_int64(argv[1], &batch) || batch < 1 || batch > 4096)) {
        fprintf(stderr, "usage: %s [BATCH]   1 to 4096\n", argv[0]);
        return mu_status_exit(MU_USAGE);
    }
    struct mu_device *device = NULL;
    struct training training = {.batch = (size_t)batch};
    enum mu_status status = mu_device_create("cpu", &log, &device);
    if (status == MU_OK)
        status = begin(&training, device, &log);
    if (status == MU_OK)
        measure(&training);
    if (training.model_ops)
        end(&training);
    mu_device_destroy(device);
    return mu_status_exit(status);
}
