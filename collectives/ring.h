/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_RING_H
#define MU_COLLECTIVES_RING_H

#include "collectives/group.h"

/*
 * All-reduce by sum around a ring (Patarasuk and Yuan 2009): every rank ends with the same bits in
 * `data` (count floats, any count, also fewer than ranks, also 0). Each rank sends and receives
 * 2 (n-1)/n of the vector.
 *
 * Order of rounding: the sum of chunk c (see ring_index.h) starts with rank c's part; ranks
 * c+1, c+2, ... n-1, 0, ... c-1 add theirs in this order. Two ranks: one addition, whose order does
 * not matter.
 *
 * OK; TIMEOUT, CLOSED or PROTOCOL with *ret_rank, the neighbour it was waiting for; or what the
 * loop was cancelled with. After a failure the vector holds neither the old nor the new values.
 */
extern const struct mu_algorithm mu_ring;

#endif
