/* SPDX-License-Identifier: Apache-2.0 */
#include "models/logistic.h"
#include "models/model_kinds.h"
#include "runtime/tensor/layout.h"
#include <stdlib.h>
#include <string.h>

/* Logistic regression, the model of click prediction at its simplest: the linear term alone. Its
 * loss is convex, so it starts from zeros. A row of the table is one weight. */
static enum mu_status layout(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout)
{
    (void)options;
    return mu_logistic_alone("linear", facts, log, ret_layout);
}

static enum mu_status create(const void *options, const struct mu_layout *layout_of,
    struct mu_device *device, size_t rows_max, void **ret_model)
{
    (void)options;
    struct mu_logistic *linear = calloc(1, sizeof(*linear));
    if (!linear)
        return MU_NO_MEMORY;
    enum mu_status status = mu_logistic_init(linear, layout_of, device, rows_max);
    if (status != MU_OK) {
        free(linear);
        return status;
    }
    *ret_model = linear;
    return MU_OK;
}

static void destroy(void *model)
{
    struct mu_logistic *linear = model;
    if (!linear)
        return;
    mu_logistic_finish(linear);
    free(linear);
}

static void forward(
    void *model, const float *parameters, const struct mu_batch *batch, struct mu_loss *ret_loss)
{
    mu_logistic_check(model, batch, 1);
    mu_logistic_forward(model, parameters, batch);
    mu_logistic_loss(model, batch, ret_loss);
}

static void watch(void *model, const struct mu_slice_listener *needs)
{
    mu_logistic_watch(model, needs);
}

static void backward(void *model, const float *parameters, const struct mu_batch *batch,
    float scale, float *gradients, const struct mu_slice_listener *listener)
{
    (void)parameters;
    mu_logistic_delta(model, batch->row_count, scale);
    mu_logistic_backward(model, batch, gradients, listener);
    mu_logistic_rows_backward(model, batch);
}

static enum mu_status row_width(const void *options, const struct mu_dataset_facts *facts,
    struct mu_log *log, size_t *ret_width)
{
    (void)options;
    (void)facts;
    (void)log;
    *ret_width = 1;
    return MU_OK;
}

static void init_row(const void *options, uint64_t seed, uint64_t id, size_t width, float *ret_row)
{
    (void)options;
    (void)seed;
    (void)id;
    memset(ret_row, 0, width * sizeof(float));
}

static const float *scores(const void *model)
{
    return ((const struct mu_logistic *)model)->logits;
}

static const struct mu_option rows[] = {{.name = NULL}};

const struct mu_model_ops mu_linear = {
    .name = "linear",
    .doc = "logistic regression over dense features and sparse entries; two classes",
    .options = rows,
    .option_bytes = 0,
    .layout = layout,
    .init = mu_logistic_zeros,
    .create = create,
    .destroy = destroy,
    .forward = forward,
    .watch = watch,
    .backward = backward,
    .row_width = row_width,
    .init_row = init_row,
    .scores = scores,
};
