/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_SEEN_H
#define MU_ROLES_AUDIT_SEEN_H

#include "roles/audit/audit_seen_rows.h"

/*
 * The parameters that corrected gradients were computed with. They are in no record: a version is
 * the same parameters whoever saw it, so the replay keeps its own of those versions that a later
 * record needs, and only as long. That is no more than what the server kept (ps/server/seen.h).
 */
struct mu_audit_seen_version {
    int64_t version;
    uint64_t uses; /* records still to come */
    float *parameters;
};

struct mu_audit_seen {
    struct mu_audit_seen_version *versions; /* (version_count), ascending */
    size_t version_count, span_count;
    float *spent; /* last taken: stays until the next call */
};

/* Reads ahead through the log for what it will need, then goes on where it was. A log that is
 * damaged further on is no failure here: the replay will say it. The same for `rows`, a zeroed one.
 * NO_MEMORY (MU_E0801). */
enum mu_status mu_audit_seen_init(struct mu_audit_seen *seen, struct mu_audit_reader *reader,
    size_t span_count, struct mu_audit_seen_rows *rows);
void mu_audit_seen_finish(struct mu_audit_seen *seen); /* takes a zeroed one */
/* The parameters are now those of this version; copied if they are needed. NO_MEMORY. */
enum mu_status mu_audit_seen_keep(
    struct mu_audit_seen *seen, int64_t version, const float *parameters);
/* One of the records that need it is here. NULL: it was never kept. */
const float *mu_audit_seen_take(struct mu_audit_seen *seen, int64_t version);

#endif
