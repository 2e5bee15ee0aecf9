/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_EVALUATE_H
#define MU_ROLES_EVALUATE_H

#include "roles/task.h"

struct mu_evaluation {
    double loss, accuracy; /* means over the test set */
};

/* The whole test set through a model that was made for `rows_max` rows. NO_MEMORY. */
enum mu_status mu_evaluate(const struct mu_job *job, const struct mu_task_data *data, void *model,
    size_t rows_max, const float *parameters, struct mu_evaluation *ret_evaluation);

#endif
