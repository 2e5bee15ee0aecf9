/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOADS_H
#define MU_ROLES_LOADS_H

#include "roles/replica.h"

/* What the leader knows of the loads of the parameter servers, for metrics.jsonl and summary.json.
 * On the training thread, with servers; on other replicas nothing happens. */

/* After a step: a line of metrics, at most one a second, with what became of the gradients of each
 * task, too. */
void mu_loads_note(struct mu_replica *replica);
/* The last numbers, asked of the servers: the summary has them from now on. NO_MEMORY. */
enum mu_status mu_loads_end(struct mu_replica *replica);

#endif
