/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_DOUBLING_INDEX_H
#define MU_COLLECTIVES_DOUBLING_INDEX_H

/* The arithmetic of recursive doubling, apart from its I/O. */

/* Rounds after which everybody knows what everybody knew: least k with 2^k >= ranks. */
int mu_doubling_rounds(int ranks);
/* The largest power of two that is not more than `ranks`. */
int mu_doubling_core(int ranks);

/*
 * Gathering for any number of ranks (Bruck et al. 1997): before round k a rank has the parts of
 * itself and of the next 2^k - 1 ranks, and fetches those that follow from rank + 2^k, while it
 * gives its own to rank - 2^k.
 */
struct mu_doubling_round {
    int to, from;
    int has;   /* parts that are here: rank, rank + 1, ... */
    int moves; /* of which these first go, and as many come */
};
struct mu_doubling_round mu_doubling_round(int ranks, int rank, int round);

#endif
