/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_HIERARCHICAL_H
#define MU_COLLECTIVES_HIERARCHICAL_H

#include "collectives/group.h"

/*
 * The ranks of each host first, then the first ranks of the hosts, then the ranks of each host
 * again. Of S bytes among h hosts the link of each host carries 2 (h-1)/h S, or S log2 h if S is
 * short, however many ranks it has; the rest goes through its memory. All ranks get the bits that
 * the first rank of their host has got.
 *
 * Needs group->home, group->abroad and group->hosts.
 */
extern const struct mu_algorithm mu_hierarchical;

#endif
