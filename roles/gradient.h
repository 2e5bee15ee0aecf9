/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_GRADIENT_H
#define MU_ROLES_GRADIENT_H

#include "roles/replica.h"

/*
 * The gradient of this replica's rows of a step: forward and backward, in parts of `data.batch`
 * rows that are added up where `data.accumulate` is more than one, so that a large batch needs the
 * memory of a small one and is exchanged once.
 */
struct mu_gradient_request {
    const float *parameters;
    const struct mu_batch *batch;
    float scale;      /* the gradient is scale * d(sum of losses) */
    float *gradients; /* (element_count) */
    int64_t step;     /* for the world's clock */
    /* Called when the losses of all rows are known, before the last backward; may be NULL. */
    void (*measured)(void *owner, const struct mu_loss *loss);
    /* Each slice of `gradients` once it is final; may be NULL. */
    void (*ready)(void *owner, struct mu_span slice);
    void *owner;
};

void mu_gradient_compute(struct mu_replica *replica, const struct mu_gradient_request *request,
    struct mu_loss *ret_loss);

#endif
