/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_MODEL_H
#define MUSTER_MODEL_H

#include "muster/option.h"
#include "muster/status.h"
#include "muster/tensor.h"
#include <stdbool.h>

struct mu_dataset_facts;
struct mu_device;
struct mu_log;

/* What a forward pass measures, over the rows of one batch. */
struct mu_loss {
    double loss_sum;      /* sum over rows of the loss of a row */
    size_t correct_count; /* rows whose largest logit is the label's */
};

/* Called by backward on the thread that runs it, once for each slice whose gradient is final, as
 * soon as it is: for most models last layer first. Together the slices are the whole vector; those
 * that follow each other should touch, so that they can travel together. */
struct mu_slice_listener {
    void (*ready)(void *owner, struct mu_span slice);
    void *owner;
};

/*
 * A kind of model. One instance is used by one thread; it holds the activations for at most
 * `rows_max` rows, and no parameters: those are the caller's flat vectors, which must have
 * layout.element_count floats and 64-byte alignment.
 */
struct mu_model_ops {
    const char *name; /* "mlp" */
    const char *doc;  /* one line */
    const struct mu_option *options;
    size_t option_bytes; /* of the struct that the rows fill */

    /* Says the names and shapes. Pure, and of the facts only the counts of features, classes and
     * fields may shape it: a parameter server, which reads no data, knows no others. CONFIG if the
     * options contradict each other or the data; the reason goes to `log`. */
    enum mu_status (*layout)(const void *options, const struct mu_dataset_facts *facts,
        struct mu_log *log, struct mu_layout *ret_layout);

    /* Seeded initial values: a pure function of (options, layout, seed), element by element, so
     * that every replica and every server can make its own part of the same vector. */
    void (*init)(
        const void *options, const struct mu_layout *layout, uint64_t seed, float *parameters);

    /* On the heap; allocates everything a step needs. NO_MEMORY. */
    enum mu_status (*create)(const void *options, const struct mu_layout *layout,
        struct mu_device *device, size_t rows_max, void **ret_model);
    void (*destroy)(void *model); /* takes NULL */

    /* Loss of the batch with these parameters; allocates nothing. The activations are kept for
     * one backward. Zero rows: a loss of zero. */
    void (*forward)(void *model, const float *parameters, const struct mu_batch *batch,
        struct mu_loss *ret_loss);

    /* May be NULL. From now on forward tells `needs` (NULL: nobody) before it first reads the
     * parameters of a slice, in its order; together the slices are the whole vector, also with zero
     * rows. So the last gradients may still be on their way when the next forward begins. */
    void (*watch)(void *model, const struct mu_slice_listener *needs);

    /* Writes (never adds to) gradients = scale * d(loss_sum)/d(parameters) of the batch of the last
     * forward, zero gaps included, and announces each slice as it becomes final. Zero rows: zeros.
     * The slices are the same for any number of rows.
     * `listener` may be NULL. */
    void (*backward)(void *model, const float *parameters, const struct mu_batch *batch,
        float scale, float *gradients, const struct mu_slice_listener *listener);

    /* ---- models of sparse data; NULL: the model has no embedding table ---- */

    /* Width of a row of the table: the parameters that each id has. Pure, of the same facts as
     * `layout`. CONFIG, said to `log`, if the data does not fit. The layout has the parameters of
     * the dense features and of what comes after the rows. */
    enum mu_status (*row_width)(const void *options, const struct mu_dataset_facts *facts,
        struct mu_log *log, size_t *ret_width);
    /* A new row: a pure function of (options, seed, id), whoever creates it. */
    void (*init_row)(const void *options, uint64_t seed, uint64_t id, size_t width, float *ret_row);
    /* Binary classifiers; may be NULL: of the last forward, a score for each row that grows with
     * the probability of class 1 (row_count), borrowed until the next forward. */
    const float *(*scores)(const void *model);
};

#endif
