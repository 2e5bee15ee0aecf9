/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_PUSH_COUNTS_H
#define MU_ROLES_PUSH_COUNTS_H

#include "ps/server/server.h"
#include "roles/replica.h"

/* What became of the gradients of one replica. Of the training thread; `told` has verdicts and,
 * after them, staleness for the thread that sends heartbeats. */
#define MU_PUSH_COUNTS_BEAT (MU_VERDICT_COUNT + MU_SUMMARY_STALENESS_MAX)
struct mu_push_counts {
    int64_t staleness[MU_SUMMARY_STALENESS_MAX];
    int64_t staleness_sum, staleness_most;
    int64_t verdicts[MU_VERDICT_COUNT];
    _Atomic int64_t told[MU_PUSH_COUNTS_BEAT];
};

void mu_push_counts_add(struct mu_push_counts *counts, const struct mu_ps_result *result);
/* What heartbeats carry of `counts`, as mu_cluster_tell_counts wants it: no zeros at the end. */
size_t mu_push_counts_beat(void *counts, int64_t out[MU_CLUSTER_COUNTS_MAX]);
/* Leader: what a replica's heartbeat has told, added to `verdicts` (MU_VERDICT_COUNT) and
 * `staleness` (MU_SUMMARY_STALENESS_MAX). */
void mu_push_counts_heard(struct mu_cluster_numbers numbers, int64_t *verdicts, int64_t *staleness);
/* All replicas meet here; each then has the counts of all in its summary, and knows whether any was
 * asked to stop. On the training thread. NO_MEMORY, or as the closing all-reduce fails. */
enum mu_status mu_push_counts_share(
    struct mu_replica *replica, const struct mu_push_counts *counts);
/* Of a run that failed, and of which nobody told more: the summary has the counts of this replica
 * alone. NO_MEMORY. */
enum mu_status mu_push_counts_know(struct mu_replica *replica);
/* A run that a server ends because of one of its workers has no such end: what the server has
 * counted goes with its accusation. As numbers, for all replicas; a place for the most there can
 * be. */
#define MU_PUSH_COUNTS_TOLD_MAX (2 + MU_PS_REPLICAS_MAX * MU_VERDICT_COUNT)
size_t mu_push_counts_tell(
    const struct mu_ps_server *server, int replica_count, int64_t out[MU_PUSH_COUNTS_TOLD_MAX]);
/* Leader: into its summary, if they are as many as there must be. NO_MEMORY. */
enum mu_status mu_push_counts_told(
    struct mu_replica *replica, const int64_t *numbers, size_t count);
/* Samples that the run had read when this generation began, of those since this process began. */
static inline int64_t mu_push_counts_samples_before(const struct mu_replica *replica)
{
    return replica->samples_before - replica->reporter.samples_before;
}

#endif
