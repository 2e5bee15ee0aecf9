/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHARED_MEET_H
#define MU_COLLECTIVES_SHARED_MEET_H

#include "collectives/shared_layout.h"

/* Meetings in shared memory, see shared_layout.h. Fails as mu_algorithm.run; on failure *ret_rank
 * is the rank that had not come, or that does something else. */

/* What this rank will show at the next meeting: to be filled before it. */
static inline struct mu_shared_slot *mu_shared_meet_own(const struct mu_shared *shared)
{
    return &shared->ranks[shared->rank]->slot[(shared->epoch + 1) & 1];
}

/* What a rank has shown at the last meeting: valid until the next. */
static inline struct mu_shared_slot *mu_shared_meet_shown(const struct mu_shared *shared, int rank)
{
    return &shared->ranks[rank]->slot[shared->epoch & 1];
}

/* The first meeting of an operation: compares group->signature with those of all others. PROTOCOL:
 * transport->seen of *ret_rank has what it does. `where` is shown too. */
enum mu_status mu_shared_meet_enter(
    struct mu_group *group, uint64_t where, int64_t deadline_ns, int *ret_rank);
/* Any other meeting. */
enum mu_status mu_shared_meet(struct mu_group *group, int64_t deadline_ns, int *ret_rank);

#endif
