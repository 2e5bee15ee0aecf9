/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include "runtime/optim/optimizers.h"
#include "runtime/optim/rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Every optimizer on one thread, one JSON line each: million elements a second of a dense vector
 * that no cache holds, and million rows a second of a table of 512 MiB (or the first argument, in
 * MiB), in batches of rows at random, as sparse features touch them. Median of five windows of
 * about a fifth of a second of the thread's own time, where others on the machine count less.
 */
#define WINDOWS 5
#define WINDOW_SECONDS 0.2
#define DENSE_ELEMENTS ((size_t)1 << 24)
#define BATCH_ROWS 4096

struct bench {
    const struct mu_optimizer_ops *optimizer;
    char options[256] __attribute__((aligned(16)));
    float *memory, *gradients;
    size_t memory_floats;
    size_t width, stride, row_count; /* of the table now in memory */
    struct mu_random random;
    int64_t step;
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds that one call took. */
static double step_dense(struct bench *bench)
{
    struct mu_optim_step step = {.count = DENSE_ELEMENTS,
        .parameters = bench->memory,
        .gradients = bench->gradients,
        .learning_rate = 0.01F,
        .gradient_scale = 1,
        .step = ++bench->step};
    for (int i = 0; i < bench->optimizer->slot_count; i++)
        step.slots[i] = bench->memory + (size_t)(i + 1) * DENSE_ELEMENTS;
    double start = seconds_now();
    bench->optimizer->step(bench->options, &step);
    return seconds_now() - start;
}

/* A batch's rows, each once, in no order: a step over the table that meets no row twice. */
static void choose(struct bench *bench, float *ret_row[BATCH_ROWS])
{
    size_t apart = bench->row_count / BATCH_ROWS, swap;
    for (size_t i = 0; i < BATCH_ROWS; i++) {
        size_t row = i * apart + (size_t)mu_random_below(&bench->random, apart);
        ret_row[i] = bench->memory + row * bench->stride;
    }
    for (size_t i = BATCH_ROWS - 1; i > 0; i--) {
        swap = (size_t)mu_random_below(&bench->random, i + 1);
        float *other = ret_row[swap];
        ret_row[swap] = ret_row[i];
        ret_row[i] = other;
    }
}

static double step_rows(struct bench *bench)
{
    static float *row[BATCH_ROWS];
    struct mu_optim_rows rows = {.count = BATCH_ROWS,
        .width = bench->width,
        .row = row,
        .gradients = bench->gradients,
        .learning_rate = 0.01F,
        .gradient_scale = 1,
        .step = ++bench->step};
    choose(bench, row);
    double start = seconds_now();
    mu_optim_step_rows(bench->optimizer, bench->options, &rows);
    return seconds_now() - start;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Millions of things a second, `things` a call. */
static double rate_of(struct bench *bench, double (*call)(struct bench *), size_t things)
{
    double window[WINDOWS];
    call(bench);
    for (int i = 0; i < WINDOWS; i++) {
        double seconds = 0, calls = 0;
        for (; seconds < WINDOW_SECONDS; calls++)
            seconds += call(bench);
        window[i] = calls * (double)things / seconds / 1e6;
    }
    qsort(window, WINDOWS, sizeof(window[0]), by_value);
    return window[WINDOWS / 2];
}

static void begin(struct bench *bench)
{
    memset(bench->memory, 0, bench->memory_floats * sizeof(float));
    bench->step = 0;
    mu_options_defaults(bench->optimizer->options, bench->options);
}

static double rate_of_rows(struct bench *bench, size_t width)
{
    begin(bench);
    bench->width = width;
    bench->stride = width * (size_t)(1 + bench->optimizer->slot_count);
    bench->row_count = bench->memory_floats / bench->stride;
    return rate_of(bench, step_rows, BATCH_ROWS);
}

static void measure(struct bench *bench)
{
    begin(bench);
    double dense = rate_of(bench, step_dense, DENSE_ELEMENTS);
    printf("{\"bench\":\"optim\",\"optimizer\":\"%s\",\"threads\":1,\"table_mib\":%zu,"
           "\"dense_melements_per_second\":%.0f,"
           "\"width_1_mrows_per_second\":%.1f,\"width_17_mrows_per_second\":%.1f}\n",
        bench->optimizer->name, bench->memory_floats * sizeof(float) >> 20, dense,
        rate_of_rows(bench, 1), rate_of_rows(bench, 17));
}

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 512;
    struct bench bench = {.memory_floats = mib << 18};
    if (bench.memory_floats < (1 + MU_SLOTS_MAX) * DENSE_ELEMENTS || mib > 65536) {
        fprintf(stderr, "usage: %s [MIB]   of the table: 320 to 65536\n", argv[0]);
        return mu_status_exit(MU_USAGE);
    }
    bench.memory = aligned_alloc(64, bench.memory_floats * sizeof(float));
    bench.gradients = aligned_alloc(64, DENSE_ELEMENTS * sizeof(float));
    mu_random_init(&bench.random, 1);
    if (!bench.memory || !bench.gradients)
        return mu_status_exit(MU_NO_MEMORY);
    for (size_t i = 0; i < DENSE_ELEMENTS; i++)
        bench.gradients[i] = (float)mu_random_normal(&bench.random);
    for (int i = 0; mu_optimizers[i]; i++) {
        bench.optimizer = mu_optimizers[i];
        measure(&bench);
    }
    free(bench.memory);
    free(bench.gradients);
    return 0;
}
