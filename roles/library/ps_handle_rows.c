/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/library/ps_handle.h"
#include <stdlib.h>
#include <string.h>

/* Embedding rows of muster/ps.h: ids as the caller has them, some equal; on the wire each once. */

/* ---- life ---- */

static enum mu_status allocate(struct mu_ps_handle_rows *rows, int in_flight)
{
    MU_TRY(mu_unique_init(&rows->unique, rows->max));
    MU_TRY(mu_row_set_init(&rows->set, rows->max));
    MU_TRY(mu_row_set_init(&rows->wanted_set, rows->max));
    rows->of_entry = calloc(rows->max, sizeof(*rows->of_entry));
    rows->sums = calloc(rows->max, rows->width * sizeof(*rows->sums));
    bool there = rows->of_entry && rows->sums;
    for (int i = 0; i < in_flight && there; i++) {
        struct mu_ps_handle_wanted *wanted = &rows->wanted[i];
        wanted->of_entry = calloc(rows->max, sizeof(*wanted->of_entry));
        wanted->values = calloc(rows->max, rows->width * sizeof(*wanted->values));
        there = wanted->of_entry && wanted->values;
    }
    return there ? MU_OK : MU_NO_MEMORY;
}

enum mu_status mu_ps_handle_rows_init(struct mu_ps *ps, const struct mu_ps_options *options)
{
    ps->rows = (struct mu_ps_handle_rows){.width = options->row_width,
        .max = options->row_max,
        .ids = options->row_ids,
        .by_range = options->row_range != 0};
    if (options->row_width == 0 || allocate(&ps->rows, ps->in_flight) == MU_OK)
        return MU_OK;
    return mu_fail(&ps->log, MU_E0801, NULL, "no memory for %zu rows of %zu floats in %d pushes",
        options->row_max, options->row_width, ps->in_flight);
}

void mu_ps_handle_rows_finish(struct mu_ps *ps)
{
    struct mu_ps_handle_rows *rows = &ps->rows;
    mu_unique_finish(&rows->unique);
    mu_row_set_finish(&rows->set);
    mu_row_set_finish(&rows->wanted_set);
    free(rows->of_entry);
    free(rows->sums);
    for (int i = 0; i < MU_PS_IN_FLIGHT_MAX; i++) {
        free(rows->wanted[i].of_entry);
        free(rows->wanted[i].values);
    }
}

/* ---- there ---- */

/* Of a push, where servers see them if one does. */
static float *sums_of(const struct mu_ps *ps, int push)
{
    float *shared = mu_ps_client_row_memory(ps->client, push).gradients;
    return shared ? shared : ps->rows.sums;
}

static float *values_of(const struct mu_ps *ps, int push)
{
    float *shared = mu_ps_client_row_memory(ps->client, push).values;
    return shared ? shared : ps->rows.wanted[push].values;
}

static struct mu_row_split split_of(const struct mu_ps *ps)
{
    return mu_row_split_by(ps->place.server_count, ps->rows.by_range, ps->rows.ids);
}

static void find_wanted(
    struct mu_ps *ps, int push, const uint64_t *ids, size_t count, float *ret_rows)
{
    struct mu_ps_handle_rows *own = &ps->rows;
    struct mu_ps_handle_wanted *wanted = &own->wanted[push];
    const struct mu_row_split split = split_of(ps);
    mu_row_set_find(&own->wanted_set, &own->unique, &split, ids, count, wanted->of_entry);
    wanted->rows = ret_rows;
    wanted->count = count;
}

/* The gradients of equal ids become one. */
static void find_given(struct mu_ps *ps, const struct mu_ps_rows *rows, float *sums)
{
    struct mu_ps_handle_rows *own = &ps->rows;
    const struct mu_row_split split = split_of(ps);
    size_t width = own->width;
    mu_row_set_find(&own->set, &own->unique, &split, rows->ids, rows->count, own->of_entry);
    memset(sums, 0, own->set.count * width * sizeof(*sums));
    for (size_t i = 0; i < rows->count; i++)
        for (size_t j = 0; j < width; j++)
            sums[own->of_entry[i] * width + j] += rows->gradients[i * width + j];
}

static enum mu_status check(struct mu_ps *ps, const uint64_t *ids, size_t count, bool is_there)
{
    if (ps->rows.width == 0)
        return mu_ps_handle_misused(ps, "rows, and row_width is 0: there is no embedding table");
    if (count > ps->rows.max)
        return mu_ps_handle_misused(ps, "%zu rows at once; row_max is %zu", count, ps->rows.max);
    if (!is_there)
        return mu_ps_handle_misused(ps, "rows without their vectors");
    for (size_t i = 0; ps->rows.ids > 0 && i < count; i++)
        if (ids[i] >= ps->rows.ids)
            return mu_ps_handle_misused(ps, "a row of id %llu; row_ids is %llu",
                (unsigned long long)ids[i], (unsigned long long)ps->rows.ids);
    return MU_OK;
}

enum mu_status mu_ps_handle_rows_put(struct mu_ps *ps, int push, const struct mu_ps_rows *rows)
{
    bool gives = rows->count > 0, wants = rows->wanted_count > 0;
    MU_TRY(check(ps, rows->ids, rows->count, !gives || (rows->ids && rows->gradients)));
    MU_TRY(check(ps, rows->wanted, rows->wanted_count, !wants || (rows->wanted && rows->rows)));
    struct mu_ps_client_rows sent = {0};
    if (gives) {
        float *sums = sums_of(ps, push);
        find_given(ps, rows, sums);
        sent.given = &ps->rows.set;
        sent.gradients = sums;
    }
    if (wants) {
        find_wanted(ps, push, rows->wanted, rows->wanted_count, rows->rows);
        sent.wanted = &ps->rows.wanted_set;
        sent.values = values_of(ps, push);
    }
    mu_ps_client_put_rows(ps->client, push, &sent);
    return MU_OK;
}

/* ---- and back ---- */

void mu_ps_handle_rows_came(struct mu_ps *ps, int push)
{
    struct mu_ps_handle_wanted *wanted = &ps->rows.wanted[push];
    size_t width = ps->rows.width;
    const float *values = wanted->count > 0 ? values_of(ps, push) : NULL;
    for (size_t i = 0; i < wanted->count; i++)
        memcpy(
            wanted->rows + i * width, values + wanted->of_entry[i] * width, width * sizeof(float));
    wanted->count = 0;
}

enum mu_status mu_ps_pull_rows(struct mu_ps *ps, const uint64_t *ids, size_t count, float *rows)
{
    int push;
    MU_TRY(mu_ps_handle_begin(ps));
    MU_TRY(mu_ps_handle_find_free(ps, &push));
    MU_TRY(check(ps, ids, count, count == 0 || (ids && rows)));
    if (count == 0)
        return MU_OK;
    int64_t deadline = mu_ps_handle_deadline(ps);
    enum mu_status status = mu_ps_handle_share(ps, deadline);
    find_wanted(ps, push, ids, count, rows);
    if (status == MU_OK)
        status = mu_ps_client_look(
            ps->client, push, &ps->rows.wanted_set, values_of(ps, push), deadline);
    ps->broken = status != MU_OK; /* its answer may still write into the values */
    if (status == MU_OK)
        mu_ps_handle_rows_came(ps, push);
    return mu_ps_handle_end(ps, status, "a pull of rows");
}

int64_t mu_ps_row_count(const struct mu_ps *ps)
{
    return ps ? mu_ps_client_row_count(ps->client) : -1;
}
