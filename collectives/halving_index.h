/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_HALVING_INDEX_H
#define MU_COLLECTIVES_HALVING_INDEX_H

#include <stdbool.h>

/* The arithmetic of recursive halving, apart from its I/O; among a power of two of ranks. */

bool mu_halving_fits(int ranks); /* is it one? */

/* At a step of distance d (ranks/2, ... 2, 1) a rank sends `sent` to `peer` and keeps `kept`, whose
 * parts it gets from there: parts first, first + 1, ... In the end it has its own. */
struct mu_halving_parts {
    int first, count;
};
struct mu_halving_step {
    int peer;
    struct mu_halving_parts sent, kept;
};
struct mu_halving_step mu_halving_step(int rank, int distance);

#endif
