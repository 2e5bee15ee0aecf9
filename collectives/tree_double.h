/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_TREE_DOUBLE_H
#define MU_COLLECTIVES_TREE_DOUBLE_H

#include "collectives/group.h"

/*
 * Two binary trees, each for one half of the vector, in segments (Sanders, Speck and Traeff 2009):
 * the bytes of long vectors in a time that grows with log n only, for many ranks. Of S bytes each
 * rank at most sends and receives
 *
 *     all-reduce   2 S, after 2 log2 n segments to the root and back
 *     broadcast    S, after log2 n segments
 */
extern const struct mu_algorithm mu_tree_double;

#endif
