/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_DOUBLING_H
#define MU_COLLECTIVES_DOUBLING_H

#include "collectives/group.h"

/*
 * In log2 n rounds, for short vectors. Of S bytes among n ranks each rank sends and receives
 *
 *     all-reduce, exchanging   S log2 n, for n a power of two. Otherwise the ranks beyond the
 *                              largest one give theirs to others first and get the sum in the end:
 *                              two rounds and 2 S more for those
 *     all-reduce, gathering    (n-1) S in ceil(log2 n) rounds: every rank gets all vectors and adds
 *                              them itself, in the canonical order
 *     all-gather               S less one part in ceil(log2 n) rounds
 *     barrier                  a byte a round (Hensgen, Finkel and Manber 1988)
 *
 * An all-reduce gathers where the order of rounding counts, or where it is quicker.
 */
extern const struct mu_algorithm mu_doubling;

/* All-gather of the parts of `request` (mu_request_part) in any group, as the end of other
 * algorithms; `step`: first of its rounds in tags. */
enum mu_status mu_doubling_gather(struct mu_group *group, const struct mu_request *request,
    uint32_t step, int64_t deadline_ns, int *ret_rank);

/* A barrier as the beginning of the operation under way: who comes through knows that all do the
 * same. */
enum mu_status mu_doubling_meet(struct mu_group *group, int64_t deadline_ns, int *ret_rank);

#endif
