/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"
#include "data/plan.h"
#include "runtime/base/log.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * How quickly text becomes batches, on one thread: bench_text [ROWS [FOLDER]] writes a
 * click-through set (13 numbers with up to six digits, 26 ids) as LIBSVM text and as TSV, then
 * opens it (one scan) and reads an epoch, in the order of the file and in the order of training.
 * One JSON line a measurement: the median of five, in processor time. The file is in the page
 * cache.
 */
#define NUMBERS 13
#define FIELDS 26
#define RUNS 5
#define BATCH 1024

static const uint32_t vocabulary[FIELDS] = {10, 20, 30, 50, 100, 150, 200, 300, 500, 800, 1000,
    2000, 3000, 5000, 8000, 12000, 20000, 30000, 50000, 100000, 150000, 250000, 400000, 600000,
    1000000, 1000000};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void write_row(FILE *file, struct mu_random *random, bool tsv)
{
    uint32_t first = NUMBERS + 1;
    fprintf(file, "%d", mu_random_unit(random) < 0.2);
    for (int i = 0; i < NUMBERS; i++) {
        double number = (double)mu_random_below(random, 3000) / 1000;
        if (tsv)
            fprintf(file, "\t%.6g", number);
        else
            fprintf(file, " %d:%.6g", i + 1, number);
    }
    for (int i = 0; i < FIELDS; i++) {
        /* About as skewed as clicks are. */
        double unit = mu_random_unit(random);
        uint32_t id = (uint32_t)(unit * unit * unit * vocabulary[i]);
        if (tsv)
            fprintf(file, "\t%u", id);
        else
            fprintf(file, " %u:1", first + id);
        first += vocabulary[i];
    }
    fputc('\n', file);
}

static size_t write_file(const char *path, size_t row_count, bool tsv)
{
    struct mu_random random;
    mu_random_init(&random, 1);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < row_count; i++)
        write_row(file, &random, tsv);
    long bytes = ftell(file);
    if (fclose(file) != 0 || bytes < 0) {
        perror(path);
        exit(1);
    }
    return (size_t)bytes;
}

struct room {
    float *features;
    int32_t *labels;
    struct mu_entries entries;
};

static void *take(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (!memory)
        exit(1);
    return memory;
}

static void room_init(struct room *room, const struct mu_dataset_facts *facts)
{
    *room = (struct room){
        .features = take(BATCH * facts->feature_count + 1, sizeof(float)),
        .labels = take(BATCH, sizeof(int32_t)),
        .entries = {.first = take(BATCH + 1, sizeof(uint32_t)),
            .id = take(BATCH * facts->entry_max, sizeof(uint64_t)),
            .value = take(BATCH * facts->entry_max, sizeof(float))},
    };
}

static void room_finish(struct room *room)
{
    free(room->features);
    free(room->labels);
    free(room->entries.first);
    free(room->entries.id);
    free(room->entries.value);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *kind, const char *what, size_t rows, size_t bytes, double *seconds)
{
    qsort(seconds, RUNS, sizeof(*seconds), by_size);
    double median = seconds[RUNS / 2];
    printf("{\"kind\": \"%s\", \"what\": \"%s\", \"rows\": %zu, \"mb\": %.1f, \"seconds\": %.4f, "
           "\"mb_per_second\": %.0f, \"rows_per_second\": %.0f}\n",
        kind, what, rows, (double)bytes / 1e6, median, (double)bytes / 1e6 / median,
        (double)rows / median);
    fflush(stdout);
}

static void read_epoch(const struct mu_dataset_ops *ops, void *dataset, struct mu_plan *plan,
    size_t block, struct room *room, struct mu_log *log)
{
    mu_plan_set_block(plan, block);
    mu_plan_begin(plan, 1, NULL, 0, 1, BATCH);
    for (int64_t step = 0; step < plan->step_count; step++) {
        size_t count, global_count;
        const uint32_t *index = mu_plan_samples(plan, step, 0, &count, &global_count);
        if (ops->read_sparse(
                dataset, index, count, room->features, room->labels, &room->entries, log) != MU_OK)
            exit(1);
    }
}

static void measure(const struct mu_dataset_ops *ops, const void *options, size_t bytes)
{
    struct mu_log log;
    struct mu_dataset_facts facts;
    struct mu_plan plan;
    struct room room;
    double seconds[RUNS];
    void *dataset = NULL;
    mu_log_init_stderr(&log, MU_LEVEL_WARN);
    for (int run = 0; run < RUNS; run++) {
        ops->close(dataset);
        double start = now();
        if (ops->open(options, MU_SPLIT_TRAIN, &log, &dataset, &facts) != MU_OK)
            exit(1);
        seconds[run] = now() - start;
    }
    report(ops->name, "scan", facts.sample_count, bytes, seconds);
    if (mu_plan_init(&plan, 1, facts.sample_count) != MU_OK)
        exit(1);
    room_init(&room, &facts);
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        for (int run = 0; run < RUNS; run++) {
            double start = now();
            read_epoch(ops, dataset, &plan, mu_dataset_block(ops, shuffle), &room, &log);
            seconds[run] = now() - start;
        }
        report(ops->name, shuffle ? "read, blocks shuffled" : "read in order", facts.sample_count,
            bytes, seconds);
    }
    room_finish(&room);
    mu_plan_finish(&plan);
    ops->close(dataset);
}

static void set(const struct mu_option *rows, const char *name, const char *text, void *options)
{
    struct mu_log log;
    mu_log_init_stderr(&log, MU_LEVEL_WARN);
    if (mu_options_set(&log, name, mu_options_find(rows, name), text, options) != MU_OK)
        exit(1);
}

static void measure_kind(const char *kind, size_t row_count, const char *folder)
{
    const struct mu_dataset_ops *ops = mu_dataset_find(kind);
    char path[512];
    bool tsv = kind[0] == 'c';
    snprintf(path, sizeof(path), "%s/bench_text_%d.%s", folder, (int)getpid(), tsv ? "tsv" : "svm");
    size_t bytes = write_file(path, row_count, tsv);
    void *options = take(1, ops->option_bytes);
    mu_options_defaults(ops->options, options);
    set(ops->options, "path", path, options);
    if (tsv) {
        set(ops->options, "numeric", "1-13", options);
        set(ops->options, "categorical", "14-39", options);
    }
    measure(ops, options, bytes);
    free(options);
    unlink(path);
}

/* Drawn, not read: the same fields. */
static void measure_clicks(size_t row_count)
{
    const struct mu_dataset_ops *ops = mu_dataset_find("clicks");
    char text[512], *at = text;
    void *options = take(1, ops->option_bytes);
    mu_options_defaults(ops->options, options);
    for (int i = 0; i < FIELDS; i++)
        at += sprintf(at, "%s%u", i > 0 ? "," : "", vocabulary[i]);
    set(ops->options, "fields", text, options);
    snprintf(text, sizeof(text), "%zu", row_count);
    set(ops->options, "samples", text, options);
    set(ops->options, "numbers", "13", options);
    measure(ops, options, 0);
    free(options);
}

int main(int argc, char **argv)
{
    size_t row_count = argc > 1 ? strtoul(argv[1], NULL, 10) : 300000;
    const char *folder = argc > 2 ? argv[2] : "/tmp";
    if (row_count == 0) {
        fprintf(stderr, "usage: bench_text [ROWS [FOLDER]]\n");
        return 1;
    }
    measure_kind("libsvm", row_count, folder);
    if (mu_dataset_find("csv"))
        measure_kind("csv", row_count, folder);
    measure_clicks(row_count / 10 + 1);
    return 0;
}
