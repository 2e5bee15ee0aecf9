/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table.h"
#include "runtime/tensor/unique.h"
#include "runtime/base/log.h"
#include "runtime/base/random.h"
#include "runtime/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * What an embedding table costs on one thread: rows created a second, the longest call that created
 * a batch and the longest that created one row, ids found a second in batches drawn by Zipf's law
 * and uniformly (every entry by mu_table_look, and the different ones by mu_table_rows), memory a
 * row, and entries a second of mu_unique. One JSON line.
 * `bench_table [ROWS [WIDTH [SLOTS]]]`, 10^7 rows of 17 floats and one slot if not said.
 */
#define BATCH 20000
#define BATCHES 200
#define ZIPF_EXPONENT 1.05

struct bench {
    int64_t rows, width, slots;
    struct mu_table *table;
    uint64_t *ids; /* (BATCHES, BATCH) */
    size_t counts[BATCHES];
    float **row;
    struct mu_random random;
    struct mu_unique unique;
};

struct cost {
    double per_second, longest_ms;
};

/* Of this process's own time: it never waits, and others on the machine do not count. */
static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Ids as hashed features are: nothing in them tells their rank. */
static uint64_t id_of(uint64_t rank)
{
    return mu_random_mix(99, rank);
}

static uint64_t zipf_rank(struct bench *bench)
{
    double power = 1 - ZIPF_EXPONENT, u = mu_random_unit(&bench->random);
    double rank = pow(1 + u * (pow((double)bench->rows, power) - 1), 1 / power);
    return (uint64_t)rank - 1 < (uint64_t)bench->rows ? (uint64_t)rank - 1 : 0;
}

/* Every call creates `batch` rows until there are `rows` more. */
static enum mu_status create(struct bench *bench, int64_t rows, size_t batch, struct cost *ret_cost)
{
    uint64_t next = mu_table_count(bench->table).rows;
    uint64_t end = next + (uint64_t)rows;
    double start = seconds_now(), before = start;
    ret_cost->longest_ms = 0;
    while (next < end) {
        size_t count = end - next < batch ? (size_t)(end - next) : batch;
        for (size_t i = 0; i < count; i++)
            bench->ids[i] = id_of(next + i);
        MU_TRY(mu_table_rows(bench->table, bench->ids, count, bench->row));
        next += count;
        double now = seconds_now();
        ret_cost->longest_ms = fmax(ret_cost->longest_ms, (now - before) * 1e3);
        before = now;
    }
    ret_cost->per_second = (double)rows / (before - start);
    return MU_OK;
}

static void draw_entries(struct bench *bench, bool zipf)
{
    for (size_t i = 0; i < BATCHES * BATCH; i++)
        bench->ids[i] =
            id_of(zipf ? zipf_rank(bench) : mu_random_below(&bench->random, (uint64_t)bench->rows));
}

/* Each id once a batch. */
static void make_different(struct bench *bench)
{
    static uint32_t of_entry[BATCH];
    for (size_t k = 0; k < BATCHES; k++) {
        uint64_t *ids = bench->ids + k * BATCH;
        mu_unique_find(&bench->unique, ids, BATCH, of_entry);
        bench->counts[k] = bench->unique.count;
        for (size_t i = 0; i < bench->unique.count; i++)
            ids[i] = bench->unique.id[i];
    }
}

/* As an evaluation does, an id as often as it occurs. */
static double look(struct bench *bench)
{
    static const float *row[BATCH];
    size_t found = 0;
    double start = seconds_now(), now = start;
    while (now - start < 1) {
        for (size_t k = 0; k < BATCHES; k++)
            mu_table_look(bench->table, bench->ids + k * BATCH, BATCH, row);
        found += BATCHES * BATCH;
        now = seconds_now();
    }
    return (double)found / (now - start);
}

static enum mu_status find(struct bench *bench, double *ret_per_second)
{
    size_t found = 0;
    double start = seconds_now(), now = start;
    while (now - start < 1) {
        for (size_t k = 0; k < BATCHES; k++) {
            MU_TRY(
                mu_table_rows(bench->table, bench->ids + k * BATCH, bench->counts[k], bench->row));
            found += bench->counts[k];
        }
        now = seconds_now();
    }
    *ret_per_second = (double)found / (now - start);
    return MU_OK;
}

/* Batches of which half the entries are different. */
static double unique_per_second(struct bench *bench)
{
    static uint32_t of_entry[BATCH];
    for (size_t i = 0; i < BATCHES * BATCH; i++)
        bench->ids[i] = id_of(mu_random_below(&bench->random, BATCH * 63 / 100));
    size_t entries = 0;
    double start = seconds_now(), now = start;
    while (now - start < 1) {
        for (size_t k = 0; k < BATCHES; k++)
            mu_unique_find(&bench->unique, bench->ids + k * BATCH, BATCH, of_entry);
        entries += BATCHES * BATCH;
        now = seconds_now();
    }
    return (double)entries / (now - start);
}

static enum mu_status measure(struct bench *bench)
{
    struct cost many, one;
    double zipf_different, uniform_different;
    int64_t singles = bench->rows / 10;
    MU_TRY(create(bench, bench->rows - singles, BATCH, &many));
    MU_TRY(create(bench, singles, 1, &one));
    struct mu_table_counts counts = mu_table_count(bench->table);
    draw_entries(bench, true);
    double zipf = look(bench);
    make_different(bench);
    MU_TRY(find(bench, &zipf_different));
    draw_entries(bench, false);
    double uniform = look(bench);
    make_different(bench);
    MU_TRY(find(bench, &uniform_different));
    double unique = unique_per_second(bench);
    printf("{\"bench\":\"table\",\"rows\":%lld,\"width\":%lld,\"slots\":%lld,"
           "\"created_per_second\":%.0f,\"longest_call_ms\":%.2f,\"longest_row_ms\":%.2f,"
           "\"zipf_per_second\":{\"look\":%.0f,\"rows\":%.0f},"
           "\"uniform_per_second\":{\"look\":%.0f,\"rows\":%.0f},\"bytes_per_row\":%.1f,"
           "\"unique_per_second\":%.0f}\n",
        (long long)bench->rows, (long long)bench->width, (long long)bench->slots, many.per_second,
        many.longest_ms, one.longest_ms, zipf, zipf_different, uniform, uniform_different,
        (double)counts.bytes / (double)counts.rows, unique);
    return MU_OK;
}

static enum mu_status run(struct bench *bench)
{
    struct mu_table_options options = {
        .width = (size_t)bench->width, .slot_count = (int)bench->slots, .seed = 1};
    mu_random_init(&bench->random, 1);
    bench->ids = malloc(sizeof(uint64_t) * BATCHES * BATCH);
    bench->row = malloc(sizeof(float *) * BATCH);
    if (!bench->ids || !bench->row)
        return MU_NO_MEMORY;
    MU_TRY(mu_unique_init(&bench->unique, BATCH));
    MU_TRY(mu_table_create(&options, &bench->table));
    return measure(bench);
}

int main(int argc, char **argv)
{
    struct bench bench = {.rows = 10000000, .width = 17, .slots = 1};
    int64_t *const values[] = {&bench.rows, &bench.width, &bench.slots};
    bool good = argc <= 4;
    for (int i = 1; good && i < argc; i++)
        good = mu_text_to_int64(argv[i], values[i - 1]);
    if (!good || bench.rows < 100 || bench.rows > UINT32_MAX - 1 || bench.width < 1 ||
        bench.width > 4096 || bench.slots < 0 || bench.slots > 4) {
        fprintf(stderr, "usage: %s [ROWS [WIDTH [SLOTS]]]\n", argv[0]);
        return mu_status_exit(MU_USAGE);
    }
    enum mu_status status = run(&bench);
    if (status != MU_OK)
        fprintf(stderr, "%s\n", mu_status_text(status));
    mu_table_destroy(bench.table);
    mu_unique_finish(&bench.unique);
    free(bench.ids);
    free(bench.row);
    return mu_status_exit(status);
}
