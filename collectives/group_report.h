/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_GROUP_REPORT_H
#define MU_COLLECTIVES_GROUP_REPORT_H

#include "collectives/group.h"

/*
 * Why an operation failed, in group->error, from what ranks have said about themselves:
 *
 *   PROTOCOL  rank 1 (10.0.0.2:2222) does all-reduce 813 of 4096 float32, sum, by ring; rank 0
 *             (10.0.0.1:2222) does all-reduce 813 of 1024 float64, sum, by ring
 *   TIMEOUT   all-reduce 813 of 4096 float32, sum, by ring waited 5.0 s: rank 2 (10.0.0.3:2222) has
 *             not entered it; last seen in all-reduce 812 6.1 s ago. Or, where it does not answer
 *             and a rank is told only so much: rank 2 (10.0.0.3:2222) has not been heard in it, and
 *             may have entered it; last heard in ...
 *   CLOSED    all-reduce 813 of 4096 float32, sum, by ring: rank 1 (10.0.0.2:2222) is gone
 *
 * *ret_rank is whom the algorithm was waiting for; after TIMEOUT it becomes the rank that is
 * furthest behind, for which all others wait. Where the group stands alone, the others are told.
 *
 * Returns the status; but PROTOCOL for a TIMEOUT because ranks disagree and all only send, or all
 * only wait: two that both take themselves for the root of a broadcast.
 */
enum mu_status mu_group_report(struct mu_group *group, enum mu_status status, int *ret_rank);

#endif
