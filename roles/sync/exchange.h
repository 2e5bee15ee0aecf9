/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_EXCHANGE_H
#define MU_ROLES_EXCHANGE_H

#include "collectives/bucket.h"
#include "roles/replica.h"

/*
 * Sums the gradient over the replicas while backward still runs.
 *
 *   training thread       extras | slice slice slice ... | finish: waits for all buckets
 *                            |       `-- bucket --.
 *   communication thread   sum    ... sum sum sum <-- buckets, in the order they became full
 *
 * Where a whole exchange takes less than waking a thread (vectors in shared memory), or all
 * processors compute anyway, the buckets are summed on the training thread when backward is over:
 * the same buckets in the same order, so the same bits. Which of the two is measured at the start.
 */
struct mu_exchange_bucket;

struct mu_exchange {
    struct mu_replica *replica;
    float *gradients; /* (element_count), in shared memory where all replicas are on one host */
    float *extras;    /* (extra_count), summed first, exactly */
    size_t extra_count;
    struct mu_arena own; /* the memory of both where it is not shared */
    void *shared;        /* else this */
    struct mu_bucketer bucketer;
    struct mu_exchange_bucket **bucket; /* (bucket_max), made as they are needed; 0: the extras */
    int bucket_count, bucket_max;
    bool on_training_thread;
    const struct mu_algorithm *here; /* which can run there */
    bool open;                       /* steps have begun: what came before were trials */
    bool no_memory;

    /* The order in which buckets travel: that of becoming ready, until the leader has seen some
     * steps and planned a better one (collectives/order.h). */
    bool plans;
    int64_t steps;    /* begun */
    int64_t begun_ns; /* the present one */
    int *order;       /* (order_count) numbers of buckets; none: as they come */
    int order_count, posted;
};

/* Collective. NO_MEMORY, or as the collectives fail. */
enum mu_status mu_exchange_open(
    struct mu_exchange *exchange, struct mu_replica *replica, size_t extra_count);
void mu_exchange_close(struct mu_exchange *exchange); /* takes a zeroed one */

/* A step begins: the extras are written, gradients follow. All buckets of the step before must have
 * been waited for. Collective in the step where the order is planned. */
enum mu_status mu_exchange_begin(struct mu_exchange *exchange);
/* This slice of `gradients` is final. Fits struct mu_slice_listener. */
void mu_exchange_slice(void *exchange, struct mu_span slice);
/* All slices have come; waits until the extras are summed. What went wrong has been said. */
enum mu_status mu_exchange_finish(struct mu_exchange *exchange);

/* The buckets of the present step, in the order in which they became ready. */
int mu_exchange_count(const struct mu_exchange *exchange);
struct mu_span mu_exchange_span(const struct mu_exchange *exchange, int bucket);
/* Waits until it is summed. */
enum mu_status mu_exchange_wait(struct mu_exchange *exchange, int bucket);
/* True the first time in a step: the caller has work to do with it. */
bool mu_exchange_take(struct mu_exchange *exchange, int bucket);

#endif
