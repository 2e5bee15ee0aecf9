/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_CHOOSE_H
#define MU_COLLECTIVES_CHOOSE_H

#include "collectives/group.h"
#include "runtime/base/text.h"

/* Which algorithm runs: the forced one if it does this kind of operation, or the one of the lowest
 * score. Equal on all ranks. NULL and group->error if none can (or the forced one cannot: it says
 * why, and which can). */
const struct mu_algorithm *mu_choose(struct mu_group *group, const struct mu_request *request);
/* In mu_algorithms; after all of them if it is not there. */
int mu_choose_place(const struct mu_algorithm *algorithm);
/* By name; NULL if there is no such. */
const struct mu_algorithm *mu_choose_find(const char *name);
/* Does it all-reduce at all? If not, `why` says so and which do. */
bool mu_choose_adds(const char *name, struct mu_text *why);
/* Before there is a group: can this algorithm add float32 gradients of `count` ranks that are all
 * on one host, with or without shared memory between them? If not, `why` says what it lacks and
 * which can. */
bool mu_choose_foresee(
    const char *name, int count, bool deterministic, bool shares_memory, struct mu_text *why);
/* After the costs have changed: groups remember what they chose. */
void mu_choose_forget(struct mu_group *group);
/* A row a size, a column an algorithm: how long it would take; "*": it is chosen. Then a line for
 * each that cannot, with the reason. No wider than 100. `muster bench allreduce --explain`. */
void mu_choose_explain(struct mu_group *group, const struct mu_request *requests,
    size_t request_count, struct mu_text *out);

/* Collective: measures group->costs in less than 200 ms and agrees on them; see costs.c. Fails as
 * mu_group_run. */
enum mu_status mu_costs_probe(struct mu_group *group, int64_t deadline_ns);

#endif
