/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_EXCHANGE_INSIDE_H
#define MU_ROLES_EXCHANGE_INSIDE_H

#include "roles/sync/exchange.h"

/*
 * For exchange.c (buckets), exchange_order.c (in which order they travel) and exchange_thread.c
 * (who sums them).
 */
struct mu_exchange_bucket {
    struct mu_command command;
    struct mu_exchange *exchange;
    struct mu_span span; /* of the gradient; count 0: the extras */
    int number;
    int64_t step; /* replica->step may be ahead when it travels */
    bool taken;
    /* Seconds, over the steps that were looked at. */
    double ready_sum, exchange_sum;
};

/* Steps that the plan of the order is made from: not the first ones, in which caches are cold. */
#define MU_EXCHANGE_LOOK_FROM 4
#define MU_EXCHANGE_LOOK_UNTIL 12

/* Before a step begins: looks, or plans and shares the plan, when it is time. */
enum mu_status mu_exchange_order_step(struct mu_exchange *exchange);

/* Measures which thread is to sum the buckets; collective, once. */
enum mu_status mu_exchange_thread_choose(struct mu_exchange *exchange);
/* Sums all buckets of the step on this thread. */
enum mu_status mu_exchange_thread_run(struct mu_exchange *exchange);

/* One bucket, on whichever thread owns the group now. */
enum mu_status mu_exchange_sum(
    struct mu_exchange_bucket *bucket, int64_t *ret_since, int *ret_rank);
/* On the communication thread: why it failed. */
enum mu_status mu_exchange_blame(
    struct mu_exchange_bucket *bucket, enum mu_status status, int rank, int64_t since);

#endif
