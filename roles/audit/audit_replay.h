/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_REPLAY_H
#define MU_ROLES_AUDIT_REPLAY_H

#include "muster/optimizer.h"
#include "muster/policy.h"
#include "roles/audit/audit_files.h"

/*
 * Does again what parameter servers did: reads the audit logs of all of them side by side, judges
 * each gradient once more, applies it with the same code, and so comes to the same parameters, bit
 * for bit. Needs as much memory as the servers together.
 *
 * Logs that begin with a checkpoint follow from those before them, if there are some: these are
 * replayed up to it, and must come to the same state (audit_chain.c).
 */

/* All that servers have, whoever of them has it: equal states are equal in each of these. */
struct mu_audit_state {
    int vector_count;
    uint32_t crcs[1 + MU_SLOTS_MAX];
    int64_t row_count; /* that are not as they begin: mode.rows says whether the others are there */
    uint64_t row_sum;  /* over ids and rows with their slots, in any order */
};

struct mu_audit_replayed {
    int server_count;
    bool standby[MU_PS_SERVERS_MAX]; /* replayed from the log of the server's standby */
    int64_t version_first, version;
    uint64_t gradients, verdicts[MU_VERDICT_COUNT];
    int64_t embedding_rows;     /* of all servers; -1: the model has no table */
    uint32_t parameters_crc32c; /* as in summary.json */
    struct mu_audit_state first, last;
    /* How many logs before these lead to `version_first`, and the version that the oldest begins
     * with. */
    int earlier_count;
    int64_t version_earliest;
};

/* `directory`: of a run, or the folder of its logs. `to`: the version to stop at, of the last logs
 * that have it; -1: the end.
 *
 * NO_INPUT (MU_E0002): a log is not there. BAD_DATA (MU_E0608): a record is damaged, the log is
 * cut, or what it says does not fit: the message has the file and the offset. USAGE (MU_E0001): the
 * log does not have this version. */
enum mu_status mu_audit_replay(
    struct mu_log *log, const char *directory, int64_t to, struct mu_audit_replayed *ret_replayed);
/* The same of these logs alone. */
enum mu_status mu_audit_replay_files(struct mu_log *log, const struct mu_audit_files *files,
    int64_t to, struct mu_audit_replayed *ret_replayed);

#endif
