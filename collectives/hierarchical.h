/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_HIERARCHICAL_H
#define MU_COLLECTIVES_HIERARCHICAL_H

#include "collectives/group.h"

/*
 * The ranks of each host first, then the first ranks of the hosts, then the ranks of each host
 * again. Of S bytes among h hosts the link of each host carries 2 (h-1)/h S, or S log2 h if S is
 * short, however many ranks it has; the rest goes through its memory. All ranks get the bits that
 * the first rank of their host has got.
 */
extern const struct mu_algorithm mu_hierarchical;

/*
 * Makes group->home and group->abroad: `host` (count) is the same number for ranks of one host, and
 * the same on all ranks. Not collective. Nothing is made where there is one host, or one rank on
 * each. For `home` to be quick, mu_shared_open it. NO_MEMORY: nothing is made.
 */
enum mu_status mu_hierarchical_init(struct mu_group *group, const int host[]);

#endif
