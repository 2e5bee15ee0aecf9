/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_EVALUATE_H
#define MU_ROLES_EVALUATE_H

#include "roles/task.h"

struct mu_evaluation {
    double loss, accuracy; /* means over the test set */
    double auc;            /* area under the ROC curve; NaN: the model has no scores */
};

/* Where the embedding rows of a batch come from: sets batch->rows, valid until the next call. */
struct mu_row_source {
    enum mu_status (*look)(void *owner, struct mu_batch *batch);
    void *owner;
};

/* What is evaluated: a model that was made for `row_max` rows, and its parameters. */
struct mu_evaluated {
    const struct mu_job *job;
    const struct mu_task_data *data;
    struct mu_log *log;
    void *model;
    size_t row_max;
    const float *parameters;
    struct mu_row_source rows; /* for models with an embedding table */
};

/* The whole test set. NO_MEMORY (MU_E0801), and what reading samples and rows returns. */
enum mu_status mu_evaluate(
    const struct mu_evaluated *evaluated, struct mu_evaluation *ret_evaluation);

#endif
