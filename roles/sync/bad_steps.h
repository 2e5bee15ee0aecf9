/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_BAD_STEPS_H
#define MU_ROLES_BAD_STEPS_H

#include "roles/sync/exchange.h"

/*
 * Gradients that must not become a step: of a loss that is not finite, or with an element that no
 * optimizer can use (runtime/optim/usable.h; of one that is clipped all that is finite can be
 * used). Each slice is looked at when backward has just made it, while it is in the cache.
 *
 * In a synchronous step all replicas must know of it before anything is applied on any, without
 * another round trip. So a replica that has found something makes element 0 of its gradient a NaN,
 * which no sum loses, and the slice with that element leaves last:
 *
 *   backward   slice  slice  slice  slice with element 0: held until all is looked at
 *   exchange     sum    sum    sum    sum: is element 0 a number?
 *
 * It is the first layer's, which the next forward waits for first anyway. What nobody has found
 * anything in is small enough for a sum that is finite.
 */
struct mu_bad_steps {
    struct mu_replica *replica;
    float limit;
    float *gradients;     /* of the present step */
    int found;            /* in it, by this replica; 0: nothing */
    struct mu_span held;  /* the slice with element 0 */
    float *found_by_rank; /* (count) */
    int64_t in_row;
};

enum mu_status mu_bad_steps_init(struct mu_bad_steps *bad, struct mu_replica *replica);
void mu_bad_steps_finish(struct mu_bad_steps *bad); /* takes a zeroed one */

/* A gradient begins: its vector, the loss it is of, its slices as they become final, and its
 * embedding rows, (count) floats. */
void mu_bad_steps_begin(struct mu_bad_steps *bad, float *gradients);
void mu_bad_steps_loss(struct mu_bad_steps *bad, double loss);
void mu_bad_steps_slice(struct mu_bad_steps *bad, struct mu_span slice);
void mu_bad_steps_rows(struct mu_bad_steps *bad, const float *gradients, size_t count);
/* Has something been found here? */
bool mu_bad_steps_any(const struct mu_bad_steps *bad);
/* Something has: it counts, and ends the run when it was too often in a row: BROKEN (MU_E0702). */
enum mu_status mu_bad_steps_count_own(struct mu_bad_steps *bad);

/* ---- synchronous ---- */

/* A slice is looked at and goes to the exchange, unless it is the one that leaves last. */
void mu_bad_steps_send(
    struct mu_bad_steps *bad, struct mu_exchange *exchange, struct mu_span slice);
void mu_bad_steps_send_last(struct mu_bad_steps *bad, struct mu_exchange *exchange);
/* All slices have left: waits until it is known whether all replicas have found nothing. As waiting
 * for the exchange fails. */
enum mu_status mu_bad_steps_hear(
    const struct mu_bad_steps *bad, struct mu_exchange *exchange, bool *ret_none);
/* Collective, when nothing is under way: who has found what. BROKEN as above, on all. */
enum mu_status mu_bad_steps_count(struct mu_bad_steps *bad);
/* A step was a good one. */
void mu_bad_steps_good(struct mu_bad_steps *bad);

#endif
