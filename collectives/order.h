/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_ORDER_H
#define MU_COLLECTIVES_ORDER_H

#include <stddef.h>

/*
 * In which order the buckets of a step travel. Backward finishes the last layers first, but the
 * next forward needs the first layers first: a bucket that is ready and urgent overtakes those that
 * wait (as in ByteScheduler, Peng 2019, and P3, Jayarajan 2019). All replicas must keep one order,
 * so it is planned once, from what one of them has measured, and followed by all; a bucket that is
 * late on some replica keeps its place.
 */
struct mu_order_bucket {
    size_t first;   /* element: the lower, the sooner forward needs it */
    double ready;   /* seconds after the first bucket was ready */
    double seconds; /* that its exchange takes */
};

/* Whenever the way is free, the most urgent of those that are ready goes; if none is, the one that
 * is ready next. Fills ret_order (count) with numbers of buckets. Cubic: for hundreds.
 * Pure. */
void mu_order_plan(const struct mu_order_bucket *bucket, int count, int *ret_order);

#endif
