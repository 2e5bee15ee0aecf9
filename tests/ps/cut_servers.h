/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_CUT_SERVERS_H
#define MU_TEST_CUT_SERVERS_H

#include "ps_rig.h"

/*
 * Links between the servers of a rig that break, in simulated time: what each follower has called
 * for since it serves breaks `count` times, at places that the seed draws, and is made anew.
 */
void cut_servers(struct rig *rig, uint64_t seed, int count);
/* Was the process of this seat killed before now? */
bool cut_servers_dead(const struct rig_task *task, int seat);
/* How many links have broken, of all rigs so far. */
int cut_servers_count(void);

#endif
