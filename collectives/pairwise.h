/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_PAIRWISE_H
#define MU_COLLECTIVES_PAIRWISE_H

#include "collectives/group.h"

/*
 * All-to-all: each rank exchanges with every other one in turn, MU_OPS_IN_FLIGHT segments under
 * way, without a pause between the turns. Of parts of S bytes among n ranks each sends and receives
 * (n-1) S in n-1 messages.
 */
extern const struct mu_algorithm mu_pairwise;

#endif
