/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_GROUP_JUDGE_H
#define MU_COLLECTIVES_GROUP_JUDGE_H

#include "collectives/group.h"

/* What this rank does under the same group and number as `theirs`: group->signature, or that of the
 * operation that it is a step of. NULL: they are of something else. */
const struct mu_signature *mu_group_counterpart(
    const struct mu_group *group, const struct mu_signature *theirs);
/* Do they do something else under the same number? */
bool mu_group_differs(const struct mu_group *group, const struct mu_signature *theirs);

/*
 * For whoever waits, now and then: by what is known of all ranks that take part in the operation,
 * not only of the one that is waited for, will it ever end? PROTOCOL, CLOSED, TIMEOUT: *ret_peer is
 * a rank of the transport that does something else, or has said that it goes no further. Asks
 * nobody and does not wait; the transport must be this thread's.
 */
enum mu_status mu_group_judge(const struct mu_group *group, int *ret_peer);
/* That rank, when a wait has ended with `status` because of it; -1: there is none. */
int mu_group_find_cause(const struct mu_group *group, enum mu_status status);

#endif
