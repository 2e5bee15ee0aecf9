/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_BUCKET_H
#define MU_COLLECTIVES_BUCKET_H

#include "muster/tensor.h"
#include <stdbool.h>

/*
 * Gathers the slices that backward announces, in the order in which they are ready, into buckets,
 * and hands each on as soon as it is full. A slice that touches the pending bucket, below or above,
 * extends it; one that lies elsewhere closes it and begins another, so a bucket is always one span.
 * The first bucket of a step is small, so that talking begins early. What becomes a bucket depends
 * on the order of announcing alone, never on time: all replicas make the same. On the thread of
 * backward; allocates nothing.
 */
struct mu_bucketer {
    size_t first_count, bucket_count; /* elements after which a bucket is full */
    bool begun;                       /* the first bucket of this step has left */
    struct mu_span pending;
    void (*full)(void *owner, struct mu_span bucket);
    void *owner;
};

void mu_bucketer_begin(struct mu_bucketer *bucketer); /* a new step */
/* Fits struct mu_slice_listener. */
void mu_bucketer_add(void *bucketer, struct mu_span slice);
/* Hands on what is pending: after the last slice. */
void mu_bucketer_flush(struct mu_bucketer *bucketer);

#endif
