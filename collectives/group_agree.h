/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_GROUP_AGREE_H
#define MU_COLLECTIVES_GROUP_AGREE_H

#include "collectives/group.h"

/*
 * No rank writes into its vector before it knows that all do the same:
 *
 *     between two ranks, in shared memory     each compares before it uses
 *     up to MU_ASIDE_BYTES                    what has heard from all in the end is done beside the
 *                                             vector, and copied there then
 *     longer, or some may only send, or it    the ranks meet first
 *     may go on with the vector after a failure
 */

/* Do the ranks meet before they do it by messages? Equal on all that agree. */
bool mu_group_meets_first(const struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request);

/* By `algorithm`, as mu_algorithm.run; a mean is divided. Vectors of all ranks are as they were if
 * it ends with PROTOCOL because the ranks differ. */
enum mu_status mu_group_run_agreed(struct mu_group *group, const struct mu_algorithm *algorithm,
    const struct mu_request *request, int64_t deadline_ns, int *ret_rank);

#endif
