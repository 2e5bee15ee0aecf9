/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_AUDIT_REPLAY_H
#define MU_ROLES_AUDIT_REPLAY_H

#include "muster/policy.h"
#include "runtime/base/log.h"

/*
 * Does again what parameter servers did: reads the audit logs of all of them side by side, judges
 * each gradient once more, applies it with the same code, and so comes to the same parameters, bit
 * for bit. Needs as much memory as the servers together.
 */
struct mu_audit_replayed {
    int server_count;
    int64_t version_first, version;
    uint64_t gradients, verdicts[MU_VERDICT_COUNT];
    int64_t embedding_rows;     /* of all servers; -1: the model has no table */
    uint32_t parameters_crc32c; /* as in summary.json */
};

/* `directory`: of a run, or the folder of its logs. `to`: the version to stop at; -1: the end.
 *
 * NO_INPUT (MU_E0002): a log is not there. BAD_DATA (MU_E0608): a record is damaged, the log is
 * cut, or what it says does not fit: the message has the file and the offset. USAGE (MU_E0001): the
 * log does not have this version. */
enum mu_status mu_audit_replay(
    struct mu_log *log, const char *directory, int64_t to, struct mu_audit_replayed *ret_replayed);

#endif
