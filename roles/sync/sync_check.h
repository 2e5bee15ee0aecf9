/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SYNC_CHECK_H
#define MU_ROLES_SYNC_CHECK_H

#include "roles/replica.h"

/*
 * Are the replicas still equal? Now and then each writes a checksum of its parameters in a place of
 * its own, zeros elsewhere, among the numbers that are summed with a step: the sum is a gathering,
 * exact in float32.
 */
#define MU_SYNC_CHECK_FLOATS 2 /* a checksum as two numbers of 16 bits */

/* Is one due at this step? */
bool mu_sync_check_is_due(const struct mu_replica *replica);
/* checks: (MU_SYNC_CHECK_FLOATS * replicas) zeros. */
void mu_sync_check_write(struct mu_replica *replica, float *checks);
/* BROKEN (MU_E0701) naming the odd one, if a majority is against it. */
enum mu_status mu_sync_check_compare(struct mu_replica *replica, const float *checks);

#endif
