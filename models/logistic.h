/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_LOGISTIC_H
#define MU_MODELS_LOGISTIC_H

#include "models/stack.h"
#include "muster/dataset.h"

/*
 * What the binary classifiers of sparse data share: a linear term over dense features and entries,
 * the logit of each row, and logistic loss (binary cross-entropy). Column 0 of an embedding row is
 * the linear weight of its id. An entry is read as it lies: entry e of row i has first[i] <= e <
 * first[i + 1].
 */
struct mu_logistic {
    struct mu_device *device;
    size_t rows_max;
    size_t feature_count; /* dense ones */
    size_t weight, bias;  /* first elements, where there are such views */
    bool has_bias;
    size_t end;                     /* where the views of others begin, gaps included */
    float *logits;                  /* (rows_max): of the last forward */
    float *error;                   /* (rows_max): d(loss of the row)/d(logit) */
    float *delta;                   /* (rows_max): scale * error */
    struct mu_slice_listener needs; /* of forward; nobody: ready is NULL */
    struct mu_arena arena;
};

/* CONFIG, said to `log`: model `name` tells two classes apart, and the data has others. */
enum mu_status mu_logistic_fits(
    const char *name, const struct mu_dataset_facts *facts, struct mu_log *log);
/* CONFIG, said to `log`: the layout of model `name` would be too large. */
enum mu_status mu_logistic_too_large(const char *name, struct mu_log *log);

/* Appends "linear/weight" (feature_count), unless that is 0, and "linear/bias" (1) if `bias`.
 * False: too large. */
bool mu_logistic_layout(size_t feature_count, bool bias, struct mu_layout *layout);
/* The layout of model `name`, whose table has all but the linear term. CONFIG, as said above. */
enum mu_status mu_logistic_alone(const char *name, const struct mu_dataset_facts *facts,
    struct mu_log *log, struct mu_layout *ret_layout);
/* Begins with zeros, as a loss that is convex in these parameters may. Fits struct mu_model_ops. */
void mu_logistic_zeros(
    const void *options, const struct mu_layout *layout, uint64_t seed, float *parameters);
/* Of a layout that begins with these views; allocates everything. NO_MEMORY. */
enum mu_status mu_logistic_init(struct mu_logistic *logistic, const struct mu_layout *layout,
    struct mu_device *device, size_t rows_max);
void mu_logistic_finish(struct mu_logistic *logistic); /* takes a zeroed one */
/* How many views of such a layout are the linear term's. */
int mu_logistic_views(const struct mu_layout *layout);

/* The batch fits: its rows, its features, and rows of the table `width` wide. Asserted. */
void mu_logistic_check(
    const struct mu_logistic *logistic, const struct mu_batch *batch, size_t width);
void mu_logistic_watch(struct mu_logistic *logistic, const struct mu_slice_listener *needs);

/* logits = bias + weight . features + sum over the entries of value * column 0 */
void mu_logistic_forward(
    struct mu_logistic *logistic, const float *parameters, const struct mu_batch *batch);
/* From the logits: the errors and what is measured. A row is right if logit > 0 says its label. */
void mu_logistic_loss(
    struct mu_logistic *logistic, const struct mu_batch *batch, struct mu_loss *ret_loss);

/* delta = scale * error, where backward begins. */
void mu_logistic_delta(struct mu_logistic *logistic, size_t rows, float scale);
/* From delta: the gradients of the views, as one slice, which is announced. */
void mu_logistic_backward(struct mu_logistic *logistic, const struct mu_batch *batch,
    float *gradients, const struct mu_slice_listener *listener);
/* From delta: the gradients of the table's rows, column 0; the other columns are zeroed. */
void mu_logistic_rows_backward(const struct mu_logistic *logistic, const struct mu_batch *batch);

#endif
