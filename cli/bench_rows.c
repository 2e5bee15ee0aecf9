/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_rows.h"
#include "cli/bench_tasks.h"
#include "runtime/base/random.h"
#include <stdlib.h>
#include <string.h>

/* Gradients are drawn once, for so many ids that have the same. */
#define PATTERNS 64
#define PATTERN_SHIFT 58
#define LINE_BYTES ((size_t)64)
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

/* A batch from when it is drawn until its gradients are under way. */
struct batch {
    struct mu_row_set set;
    float *value;     /* (batch, width): as they were pulled */
    uint32_t *pushes; /* (batch): of each row, until the push that asks for it */
};

struct mu_bench_rows {
    struct mu_bench_rows_options options;
    size_t own_count; /* ids of this worker */
    uint32_t *pushes; /* (own_count) */
    float *pattern;   /* (PATTERNS, width) */
    float *gradient;  /* (batch, width): of the push that is put together */
    uint64_t *drawn;  /* (batch) */
    uint32_t *of_entry;
    struct mu_unique unique;
    struct mu_random random;
    int in_flight, batch_count;
    int64_t next, oldest;  /* pushes: to be begun, to be verified */
    struct batch *batches; /* (2 * in_flight_max), used in turn */
};

/* ---- life ---- */

static enum mu_status allocate_batch(struct mu_bench_rows *rows, struct batch *batch)
{
    const struct mu_bench_rows_options *options = &rows->options;
    MU_TRY(mu_row_set_init(&batch->set, options->batch));
    batch->value = calloc(options->batch * options->width, sizeof(*batch->value));
    batch->pushes = calloc(options->batch, sizeof(*batch->pushes));
    return batch->value && batch->pushes ? MU_OK : MU_NO_MEMORY;
}

/* Of zeros. The kernel gives pages when they are first written to, which must not be within the
 * time; and calloc, which gcc makes of malloc and memset, does not write. */
static uint32_t *make_counters(size_t count)
{
    size_t bytes = (count * sizeof(uint32_t) / LINE_BYTES + 1) * LINE_BYTES;
    uint32_t *counters = aligned_alloc(LINE_BYTES, bytes);
    if (counters)
        memset(counters, 0, bytes);
    return counters;
}

static enum mu_status allocate(struct mu_bench_rows *rows)
{
    const struct mu_bench_rows_options *options = &rows->options;
    rows->pushes = make_counters(rows->own_count);
    rows->pattern = calloc(PATTERNS * options->width, sizeof(*rows->pattern));
    rows->gradient = calloc(options->batch * options->width, sizeof(*rows->gradient));
    rows->drawn = calloc(options->batch, sizeof(*rows->drawn));
    rows->of_entry = calloc(options->batch, sizeof(*rows->of_entry));
    rows->batches = calloc((size_t)rows->batch_count, sizeof(*rows->batches));
    if (!rows->pushes || !rows->pattern || !rows->gradient || !rows->drawn || !rows->of_entry ||
        !rows->batches)
        return MU_NO_MEMORY;
    for (int i = 0; i < rows->batch_count; i++)
        MU_TRY(allocate_batch(rows, &rows->batches[i]));
    return mu_unique_init(&rows->unique, options->batch);
}

enum mu_status mu_bench_rows_create(
    const struct mu_bench_rows_options *options, struct mu_bench_rows **ret_rows)
{
    struct mu_bench_rows *rows = calloc(1, sizeof(*rows));
    if (!rows)
        return MU_NO_MEMORY;
    rows->options = *options;
    rows->own_count = options->row_count / (size_t)options->worker_count;
    rows->batch_count = 2 * options->in_flight_max;
    mu_random_init(&rows->random, (uint64_t)options->worker);
    if (allocate(rows) != MU_OK) {
        mu_bench_rows_destroy(rows);
        return MU_NO_MEMORY;
    }
    for (size_t i = 0; i < PATTERNS * options->width; i++)
        rows->pattern[i] = mu_bench_gradient(options->worker, i);
    *ret_rows = rows;
    return MU_OK;
}

void mu_bench_rows_destroy(struct mu_bench_rows *rows)
{
    if (!rows)
        return;
    for (int i = 0; rows->batches && i < rows->batch_count; i++) {
        mu_row_set_finish(&rows->batches[i].set);
        free(rows->batches[i].value);
        free(rows->batches[i].pushes);
    }
    mu_unique_finish(&rows->unique);
    free(rows->pushes);
    free(rows->pattern);
    free(rows->gradient);
    free(rows->drawn);
    free(rows->of_entry);
    free(rows->batches);
    free(rows);
}

/* ---- ids and their gradients ---- */

static uint64_t id_of(const struct mu_bench_rows *rows, uint64_t own)
{
    return own * (uint64_t)rows->options.worker_count + (uint64_t)rows->options.worker;
}

/* Which of this worker's ids it is. */
static uint64_t own_of(const struct mu_bench_rows *rows, uint64_t id)
{
    return id / (uint64_t)rows->options.worker_count;
}

static const float *pattern_of(const struct mu_bench_rows *rows, uint64_t id)
{
    return rows->pattern + (id * SPREAD >> PATTERN_SHIFT) * rows->options.width;
}

static struct batch *batch_of(struct mu_bench_rows *rows, int64_t number)
{
    return &rows->batches[number % rows->batch_count];
}

/* What `drawn` has, each id once and those of one server together. */
static void take(struct mu_bench_rows *rows, struct batch *batch, size_t count)
{
    const struct mu_row_split split = {.server_count = rows->options.server_count};
    mu_row_set_find(&batch->set, &rows->unique, &split, rows->drawn, count, rows->of_entry);
}

static void draw(struct mu_bench_rows *rows, struct batch *batch)
{
    for (size_t i = 0; i < rows->options.batch; i++)
        rows->drawn[i] = id_of(rows, mu_random_below(&rows->random, rows->own_count));
    take(rows, batch, rows->options.batch);
}

static void draw_range(struct mu_bench_rows *rows, struct batch *batch, size_t first)
{
    size_t left = rows->own_count - first;
    size_t count = left < rows->options.batch ? left : rows->options.batch;
    for (size_t i = 0; i < count; i++)
        rows->drawn[i] = id_of(rows, first + i);
    take(rows, batch, count);
}

/* The gradients of a batch, which is pushed now. */
static void count_and_fill(struct mu_bench_rows *rows, const struct batch *batch)
{
    size_t width = rows->options.width;
    for (size_t i = 0; i < batch->set.count; i++) {
        uint64_t id = batch->set.id[i];
        rows->pushes[own_of(rows, id)]++;
        memcpy(rows->gradient + i * width, pattern_of(rows, id), width * sizeof(float));
    }
}

/* How often the rows of a batch, which is asked for now, have been pushed. */
static void expect(const struct mu_bench_rows *rows, struct batch *batch)
{
    for (size_t i = 0; i < batch->set.count; i++)
        batch->pushes[i] = rows->pushes[own_of(rows, batch->set.id[i])];
}

/* ---- pushes ---- */

void mu_bench_rows_put_fill(struct mu_bench_rows *rows, int slot, int index)
{
    struct batch *batch = &rows->batches[0];
    draw_range(rows, batch, (size_t)index * rows->options.batch);
    count_and_fill(rows, batch);
    const struct mu_ps_client_rows given = {.given = &batch->set, .gradients = rows->gradient};
    mu_ps_client_put_rows(rows->options.client, slot, &given);
}

void mu_bench_rows_set_in_flight(struct mu_bench_rows *rows, int in_flight)
{
    rows->in_flight = in_flight;
    rows->next = rows->oldest = 0;
    for (int i = 0; i < in_flight; i++)
        draw(rows, batch_of(rows, i));
}

void mu_bench_rows_put(struct mu_bench_rows *rows, int slot)
{
    struct batch *now = batch_of(rows, rows->next);
    struct batch *later = batch_of(rows, rows->next + rows->in_flight);
    draw(rows, later);
    count_and_fill(rows, now);
    expect(rows, later);
    const struct mu_ps_client_rows both = {.given = &now->set,
        .gradients = rows->gradient,
        .wanted = &later->set,
        .values = later->value};
    mu_ps_client_put_rows(rows->options.client, slot, &both);
    rows->next++;
}

/* ---- verifying ---- */

static bool row_is(const float *row, const float *pattern, float pushes, size_t width)
{
    bool is = true;
    for (size_t i = 0; i < width; i++)
        is &= row[i] == pushes * pattern[i];
    return is;
}

static enum mu_status verify(
    const struct mu_bench_rows *rows, const struct batch *batch, char *why, size_t why_bytes)
{
    size_t width = rows->options.width;
    for (size_t i = 0; i < batch->set.count; i++) {
        uint64_t id = batch->set.id[i];
        const float *row = batch->value + i * width, *pattern = pattern_of(rows, id);
        if (row_is(row, pattern, (float)batch->pushes[i], width))
            continue;
        mu_format(why, why_bytes, "row %llu begins with %g and should begin with %u times %g",
            (unsigned long long)id, (double)row[0], batch->pushes[i], (double)pattern[0]);
        return MU_BROKEN;
    }
    return MU_OK;
}

enum mu_status mu_bench_rows_verify(struct mu_bench_rows *rows, char *why, size_t why_bytes)
{
    struct batch *batch = batch_of(rows, rows->oldest++ + rows->in_flight);
    return verify(rows, batch, why, why_bytes);
}

enum mu_status mu_bench_rows_check(
    struct mu_bench_rows *rows, int index, int64_t deadline_ns, char *why, size_t why_bytes)
{
    /* The batches that wait for their push stay as they are. */
    struct batch *batch = batch_of(rows, rows->next + rows->in_flight);
    draw_range(rows, batch, (size_t)index * rows->options.batch);
    expect(rows, batch);
    memset(batch->value, 0xff, batch->set.count * rows->options.width * sizeof(float));
    MU_TRY(mu_ps_client_look(rows->options.client, 0, &batch->set, batch->value, deadline_ns));
    return verify(rows, batch, why, why_bytes);
}
