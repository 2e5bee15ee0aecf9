/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TREE_H
#define MU_COLLECTIVES_TREE_H

#include "collectives/group.h"

/*
 * A binomial tree, for short vectors and many ranks. Of S bytes among n ranks
 *
 *     broadcast    the root sends S to each of its ceil(log2 n) children, those pass it on:
 *                  ceil(log2 n) rounds
 *     all-reduce   the same to rank 0, added on the way, and back
 *
 * n-1 (all-reduce: 2 (n-1)) messages in all, where doubling needs n log2 n.
 */
extern const struct mu_algorithm mu_tree;

#endif
