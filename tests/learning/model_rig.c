/* SPDX-License-Identifier: Apache-2.0 */
#include "model_rig.h"

#include "numbers.h"
#include "runtime/base/options.h"
#include <math.h>

static void set(struct rig *rig, const char *key, const char *value)
{
    if (value)
        assert_ok(mu_options_set(
            &rig->log.log, key, mu_options_find(rig->ops->options, key), value, rig->options));
}

static void make_options(struct rig *rig)
{
    rig->options = calloc(1, rig->ops->option_bytes + 1);
    assert_non_null(rig->options);
    mu_options_defaults(rig->ops->options, rig->options);
    set(rig, "dimension", rig->shape->dimension);
    set(rig, "widths", rig->shape->widths);
}

static void make_model(struct rig *rig, const char *device)
{
    const struct mu_model_ops *ops = rig->ops;
    struct mu_log *log = &rig->log.log;
    assert_ok(mu_device_create(device, log, &rig->device));
    assert_ok(ops->layout(rig->options, &rig->facts, log, &rig->layout));
    assert_ok(mu_arena_init(&rig->parameters, rig->layout.element_count));
    assert_ok(mu_arena_init(&rig->gradients, rig->layout.element_count));
    assert_ok(ops->create(rig->options, &rig->layout, rig->device, RIG_ROWS, &rig->model));
    for (int i = 0; i < rig->layout.view_count; i++) {
        struct mu_span span = rig->layout.view[i].span;
        numbers_fill(rig->parameters.data + span.first, span.count, (uint64_t)i + 77);
    }
}

static void make_batch(struct rig *rig)
{
    const struct rig_shape *shape = rig->shape;
    numbers_fill(rig->features, RIG_ROWS * shape->features, 5);
    for (int i = 0; i < RIG_ROWS; i++)
        rig->labels[i] = (int32_t)((size_t)i % shape->classes);
    rig->batch = (struct mu_batch){.row_count = RIG_ROWS,
        .feature_count = shape->features,
        .features = rig->features,
        .labels = rig->labels};
}

static size_t entries_of_row(const struct rig_shape *shape, size_t row)
{
    return shape->fields ? shape->fields : row * 7 % (shape->entry_max + 1);
}

/* The rows of the table are halved, so that logits of many pairs do not saturate the loss. */
static void make_sparse_part(struct rig *rig)
{
    if (rig->facts.entry_max == 0)
        return;
    assert_true(rig->facts.entry_max <= RIG_ENTRIES);
    size_t width = 0;
    assert_ok(rig->ops->row_width(rig->options, &rig->facts, &rig->log.log, &width));
    assert_ok(mu_arena_init(&rig->table, RIG_TABLE_ROWS * width));
    assert_ok(mu_arena_init(&rig->table_gradients, RIG_TABLE_ROWS * width));
    numbers_fill(rig->table.data, RIG_TABLE_ROWS * width, 31);
    for (size_t i = 0; i < RIG_TABLE_ROWS * width; i++)
        rig->table.data[i] /= 2;
    for (size_t i = 0; i < RIG_ROWS; i++)
        rig->first[i + 1] = rig->first[i] + (uint32_t)entries_of_row(rig->shape, i);
    size_t entries = rig->first[RIG_ROWS];
    numbers_fill(rig->value, entries, 32);
    rig->value[0] = 0; /* an entry that changes nothing */
    struct mu_random random;
    mu_random_init(&random, 33);
    for (size_t e = 0; e < entries; e++) {
        uint32_t row = (uint32_t)mu_random_below(&random, RIG_TABLE_ROWS - 1);
        rig->of_entry[e] = row + (row >= RIG_UNUSED);
        rig->id[e] = 1000 + rig->of_entry[e];
    }
    rig->batch.entries = (struct mu_entries){rig->first, rig->id, rig->value};
    rig->batch.rows = (struct mu_rows){.count = RIG_TABLE_ROWS,
        .width = width,
        .value = rig->table.data,
        .of_entry = rig->of_entry,
        .gradient = rig->table_gradients.data};
}

void rig_begin(struct rig *rig, const struct rig_shape *shape, const char *device)
{
    memset(rig, 0, sizeof(*rig));
    mu_test_log_init(&rig->log);
    rig->shape = shape;
    rig->ops = mu_model_find(shape->model);
    assert_non_null(rig->ops);
    rig->facts = (struct mu_dataset_facts){.feature_count = shape->features,
        .class_count = shape->classes,
        .field_count = shape->fields,
        .entry_max = shape->fields ? shape->fields : shape->entry_max};
    make_options(rig);
    make_model(rig, device);
    make_batch(rig);
    make_sparse_part(rig);
}

void rig_end(struct rig *rig)
{
    rig->ops->destroy(rig->model);
    mu_device_destroy(rig->device);
    mu_arena_finish(&rig->parameters);
    mu_arena_finish(&rig->gradients);
    mu_arena_finish(&rig->table);
    mu_arena_finish(&rig->table_gradients);
    free(rig->options);
}

double rig_loss(struct rig *rig)
{
    struct mu_loss loss;
    rig->ops->forward(rig->model, rig->parameters.data, &rig->batch, &loss);
    return loss.loss_sum;
}

void rig_backward(struct rig *rig, float scale, const struct mu_slice_listener *listener)
{
    (void)rig_loss(rig);
    for (size_t i = 0; i < rig->gradients.count; i++)
        rig->gradients.data[i] = NAN;
    for (size_t i = 0; i < rig->table_gradients.count; i++)
        rig->table_gradients.data[i] = NAN;
    rig->ops->backward(
        rig->model, rig->parameters.data, &rig->batch, scale, rig->gradients.data, listener);
}

double rig_difference(struct rig *rig, float *at, float epsilon)
{
    float before = *at, above = before + epsilon, below = before - epsilon;
    *at = above;
    double loss_above = rig_loss(rig);
    *at = below;
    double loss_below = rig_loss(rig);
    *at = before;
    return (loss_above - loss_below) / ((double)above - (double)below);
}

/* A ReLU that turns inside the difference spoils it: then a smaller one, on either side of the
 * turn, is right. The gradient agrees if one of the two does. */
static void check_gradient(
    struct rig *rig, const char *name, size_t index, float *at, float gradient)
{
    double got = (double)gradient;
    double wide = fabs(0.5 * rig_difference(rig, at, 4e-3F) - got);
    double narrow = fabs(0.5 * rig_difference(rig, at, 5e-4F) - got);
    if (!(fmin(wide, narrow) < 2e-3 * (1 + fabs(got))))
        fail_msg("%s, %s[%zu]: gradient %g is off by %g", rig->shape->model, name, index, got,
            fmin(wide, narrow));
}

void rig_check_gradients(struct rig *rig)
{
    rig_backward(rig, 0.5F, NULL);
    for (int v = 0; v < rig->layout.view_count; v++) {
        const struct mu_view *view = &rig->layout.view[v];
        for (size_t i = view->span.first; i < view->span.first + view->span.count; i++)
            check_gradient(rig, view->name, i - view->span.first, rig->parameters.data + i,
                rig->gradients.data[i]);
    }
    for (size_t i = 0; i < rig->batch.rows.count * rig->batch.rows.width; i++)
        check_gradient(rig, "table", i, rig->table.data + i, rig->table_gradients.data[i]);
}
