/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_PS_RIG_SIM_H
#define MU_TEST_PS_RIG_SIM_H

#include "ps_rig.h"

/* As rig_run, in simulated time: links of 1 Gbit/s, workers of different pace; the same seed gives
 * the same run. Asserts that all ended well; `name` says which run did not. */
void rig_simulate(struct rig *rig, const char *name, uint64_t seed);

#endif
