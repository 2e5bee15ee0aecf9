/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_HALVING_H
#define MU_COLLECTIVES_HALVING_H

#include "collectives/group.h"

/*
 * Recursive halving, then doubling (Rabenseifner 2004): as few bytes as the ring, in fewer rounds,
 * for vectors of a middle length. Of S bytes among n ranks each rank sends and receives
 *
 *     all-reduce       2 (n-1)/n S    in 2 log2 n rounds
 *     reduce-scatter   (n-1)/n S      in log2 n rounds
 *
 * Where the order of rounding counts, and where n is no power of two, each rank gets its part from
 * every other one in turn and adds them in the canonical order: n-1 rounds instead of log2 n for
 * the first half, the same bytes.
 */
extern const struct mu_algorithm mu_halving;

#endif
