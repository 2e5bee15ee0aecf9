/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SETTLE_H
#define MU_ROLES_SETTLE_H

#include "roles/sync/exchange.h"

/*
 * The optimizer's part of a synchronous step: bucket by bucket, each as late as the next forward
 * needs its parameters, so that the last buckets of a step still travel while the next one has
 * begun. Where the model does not say what it needs, or norms of the whole gradient or of its
 * tensors are asked for, all at once. The bits are the same: an optimizer that is not by_tensor
 * works element by element.
 */
struct mu_settle {
    struct mu_exchange *exchange;
    bool late;  /* buckets wait for the next forward */
    bool open;  /* not all of the last step is settled */
    bool apply; /* its gradient is used */
    struct mu_optim_step step;
    enum mu_status status; /* of waiting for buckets; kept until mu_settle_all */
};

/* Also tells the model whom it is to ask. */
void mu_settle_init(struct mu_settle *settle, struct mu_exchange *exchange);
/* A step has gone out: `apply` false: its gradient is only waited for. */
void mu_settle_begin(struct mu_settle *settle, const struct mu_optim_step *step, bool apply);
/* Everything: before parameters are saved, compared or evaluated. How waiting has ended. */
enum mu_status mu_settle_all(struct mu_settle *settle);

#endif
