/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_RING_H
#define MU_COLLECTIVES_RING_H

#include "collectives/group.h"

/*
 * Around a ring (Patarasuk and Yuan 2009), in segments and without a pause between the steps: a
 * segment leaves for the right as soon as it has come from the left and been added. Of a vector of
 * S bytes among n ranks each rank sends and receives
 *
 *     all-reduce       2 (n-1)/n S          in 2 (n-1) steps
 *     reduce-scatter   (n-1)/n S            in n-1 steps; S in n where the order of rounding counts
 *     all-gather       S less one part      in n-1 steps
 *     broadcast        S                    after n-2 segments at the last rank
 *
 * Keeps the canonical order of rounding: the sum of chunk c starts with rank c's part. An
 * all-reduce may travel in a half type: sums stay in float32 and are rounded to nearest even for
 * each hop; in the second half each rank rounds what it has summed, so that all end bit-equal.
 *
 * Score: a step takes what its chunk takes, or message and one segment where that is longer.
 */
extern const struct mu_algorithm mu_ring;

#endif
