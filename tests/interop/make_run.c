/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves a run directory as a run would that was resumed once: for other people's programs to read.
 *
 *   make_run DIRECTORY
 */
#include "roles/checkpoint/checkpoint.h"
#include "runtime/base/random.h"
#include "runtime/io/folder.h"
#include "runtime/io/store_directory.h"
#include "runtime/tensor/layout.h"
#include "watch/event_file.h"
#include "watch/metrics.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define START (INT64_C(1763764801) * SECOND)

static void join(char out[PATH_MAX], const char *directory, const char *name)
{
    mu_format(out, PATH_MAX, "%s/%s", directory, name);
}

/* The second life begins two steps before the first one ended, with other numbers. */
static double loss_of(int life, int64_t step)
{
    return 2.0 / (double)(step + 1) + 0.001 * life;
}

static enum mu_status write_life(
    struct mu_log *log, const char *directory, int life, int64_t first, int64_t last)
{
    char path[PATH_MAX];
    struct mu_event_file *events;
    struct mu_metrics *metrics;
    join(path, directory, "tb/chief-0");
    struct mu_event_file_options options = {.directory = path,
        .host = "h2",
        .process = 412,
        .wall_ns = START + life * 100 * SECOND,
        .resume_step = life > 0 ? first - 1 : -1};
    MU_TRY(mu_event_file_open(log, &options, &events));
    join(path, directory, "metrics.jsonl");
    MU_TRY(mu_metrics_open(log, path, life > 0, &metrics));
    for (int64_t step = first; step <= last; step++) {
        int64_t wall_ns = options.wall_ns + step * SECOND;
        mu_event_file_scalar(events, wall_ns, step, "train/loss", (float)loss_of(life, step));
        mu_metrics_begin(metrics, wall_ns, step);
        mu_metrics_number(metrics, "loss", loss_of(life, step));
        mu_metrics_end(metrics);
    }
    const double edges[] = {0, 1, 2, 3}, counts[] = {5, 0, 7};
    mu_event_file_histogram(events, options.wall_ns, last, "ps/staleness", edges, counts, 3);
    mu_event_file_close(events);
    mu_metrics_close(metrics);
    return MU_OK;
}

static void fill(const struct mu_layout *layout, uint64_t seed, float *vector)
{
    struct mu_random random;
    mu_random_init(&random, seed);
    for (int i = 0; i < layout->view_count; i++)
        for (size_t e = 0; e < layout->view[i].span.count; e++)
            vector[layout->view[i].span.first + e] = (float)mu_random_normal(&random);
}

/* Rows of three numbers; the greatest id is negative for who reads it with a sign. */
static void fill_rows(float vectors[2][3 * 3], uint64_t ids[3], struct mu_saved_rows *ret_rows)
{
    static const uint64_t some[3] = {7, UINT64_C(1) << 40, UINT64_MAX};
    memcpy(ids, some, sizeof(some));
    for (int i = 0; i < 9; i++) {
        vectors[0][i] = (float)i / 8;
        vectors[1][i] = (float)-i;
    }
    *ret_rows = (struct mu_saved_rows){
        .width = 3, .slot_count = 1, .count = 3, .ids = ids, .vectors = {vectors[0], vectors[1]}};
}

static enum mu_status save(
    struct mu_log *log, struct mu_store *store, const struct mu_layout *layout, int64_t step)
{
    int64_t steps_done[] = {step / 2, step - step / 2};
    struct mu_position position = {0, {2, 64, steps_done, NULL}};
    float row_vectors[2][3 * 3];
    uint64_t ids[3];
    struct mu_saved_rows rows;
    fill_rows(row_vectors, ids, &rows);
    float *vectors = calloc(2 * layout->element_count, sizeof(*vectors));
    if (!vectors)
        return MU_NO_MEMORY;
    fill(layout, (uint64_t)step, vectors);
    fill(layout, (uint64_t)step + 1, vectors + layout->element_count);
    struct mu_snapshot snapshot = {.step = step,
        .samples_done = 64 * step,
        .seed = 1,
        .wall_ns = START + step * SECOND,
        .run = "interop",
        .model = "mlp",
        .optimizer = "momentum",
        .positions = &position,
        .position_count = 1,
        .layout = layout,
        .parameters = vectors,
        .slot_count = 1,
        .slot_names = {"momentum"},
        .slots = {vectors + layout->element_count},
        .rows = &rows};
    enum mu_status status = mu_checkpoint_save(store, log, &snapshot, 3);
    free(vectors);
    return status;
}

static enum mu_status save_all(struct mu_log *log, const char *directory)
{
    char path[PATH_MAX];
    struct mu_layout layout;
    struct mu_store *store;
    mu_layout_init(&layout);
    if (!mu_layout_add(&layout, "dense1/w", 2, (const int64_t[]){30, 17}) ||
        !mu_layout_add(&layout, "dense1/b", 1, (const int64_t[]){17}) ||
        !mu_layout_add(&layout, "temperature", 0, NULL))
        return MU_BUG;
    join(path, directory, "checkpoints");
    MU_TRY(mu_store_directory_open(log, path, &store));
    enum mu_status status = MU_OK;
    for (int64_t step = 4; step <= 12 && status == MU_OK; step += 4)
        status = save(log, store, &layout, step);
    store->ops->close(store);
    return status;
}

static enum mu_status make_run(struct mu_log *log, const char *directory)
{
    MU_TRY(mu_folder_make(log, directory));
    MU_TRY(write_life(log, directory, 0, 1, 10));
    MU_TRY(write_life(log, directory, 1, 9, 12));
    return save_all(log, directory);
}

int main(int argc, char **argv)
{
    struct mu_log log;
    mu_log_init_stderr(&log, MU_LEVEL_INFO);
    if (argc != 2) {
        fprintf(stderr, "usage: make_run DIRECTORY\n");
        return 64;
    }
    return mu_status_exit(make_run(&log, argv[1]));
}
