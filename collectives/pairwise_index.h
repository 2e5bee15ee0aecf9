/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_PAIRWISE_INDEX_H
#define MU_COLLECTIVES_PAIRWISE_INDEX_H

/* Whom a rank sends to and receives from at step 1 .. ranks-1, so that it meets everybody once:
 * rank xor step among a power of two (both ways with the same one), rank + step and rank - step
 * otherwise. */
int mu_pairwise_to(int ranks, int rank, int step);
int mu_pairwise_from(int ranks, int rank, int step);

#endif
