/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_JUDGE_H
#define MU_ROLES_AUDIT_JUDGE_H

#include "ps/audit_record.h"
#include "roles/job/job.h"

/*
 * Judges a log once more: what the head knew of each gradient follows from the records before it,
 * so mode, policy and schedule must come to what the record says.
 */
struct mu_audit_worker {
    uint64_t clock;
    bool left;
};

struct mu_audit_judge {
    const struct mu_job *job;
    struct mu_ps_plan modes;
    int phase; /* of the modes, at the version */
    int replica_count, active_count, gathered;
    int64_t version, total;
    struct mu_audit_worker *workers; /* (replica_count) */
};

enum mu_status mu_audit_judge_init(struct mu_audit_judge *judge, const struct mu_job *job,
    int replica_count, size_t sample_count, int64_t version, int64_t total); /* NO_MEMORY */
void mu_audit_judge_finish(struct mu_audit_judge *judge);

static inline const struct mu_ps_phase *mu_audit_judge_phase(const struct mu_audit_judge *judge)
{
    return &judge->modes.phase[judge->phase];
}

/* True: a gradient, leaving or loss that follows from what came before, and is taken in. False:
 * `why` says what does not. */
bool mu_audit_judge_take(struct mu_audit_judge *judge, const struct mu_audit_record *record,
    char *why, size_t why_bytes);

#endif
