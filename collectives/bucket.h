/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_BUCKET_H
#define MU_COLLECTIVES_BUCKET_H

#include "muster/tensor.h"

/*
 * Gathers the slices that backward announces, last layer first, into buckets of at least
 * `bucket_count` elements, and hands each on as soon as it is full. Slices are contiguous and
 * descending, so a bucket is a span. On the thread of backward; allocates nothing.
 */
struct mu_bucketer {
    size_t bucket_count;
    struct mu_span pending;
    void (*full)(void *owner, struct mu_span bucket);
    void *owner;
};

/* A new step: the first bucket ends at element `end` of the vector. */
void mu_bucketer_begin(struct mu_bucketer *bucketer, size_t end);
/* Fits struct mu_slice_listener. */
void mu_bucketer_add(void *bucketer, struct mu_span slice);
/* Hands on what is pending: after the last slice. */
void mu_bucketer_flush(struct mu_bucketer *bucketer);

#endif
