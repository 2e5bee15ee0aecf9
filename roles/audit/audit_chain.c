/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_replay.h"
#include "runtime/base/log.h"
#include "runtime/base/log_quiet.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 *   logs before those before   0 .......... 120
 *   logs before                      100 .......... 230
 *   the last logs                               200 ........ 400
 *
 * A run that was resumed, or that waited for a server, began its logs anew with the state of a
 * checkpoint: 200 here. Replayed that far the logs before come to the same state, which begin with
 * 100 themselves, and so on. Then all follows from the first state of the first logs.
 */

static bool same_state(const struct mu_audit_state *a, const struct mu_audit_state *b)
{
    return a->vector_count == b->vector_count &&
           memcmp(a->crcs, b->crcs, (size_t)a->vector_count * sizeof(*a->crcs)) == 0 &&
           a->row_count == b->row_count && a->row_sum == b->row_sum;
}

/* Do these logs make the state that later ones begin with? If not, `log` is told. */
static bool lead_to(struct mu_log *log, const struct mu_audit_files *files,
    const struct mu_audit_replayed *later, struct mu_audit_replayed *ret_made)
{
    struct mu_log quiet = mu_log_quiet();
    int64_t version = later->version_first;
    enum mu_status status = mu_audit_replay_files(&quiet, files, version, ret_made);
    if (status == MU_OK && same_state(&ret_made->last, &later->first))
        return true;
    mu_say(log, MU_LEVEL_WARN,
        "what came before version %" PRId64 " is not replayed: %s/%s and those of that time do not "
        "lead to it: %s",
        version, files->folder, files->name[0],
        status == MU_OK ? "they make other parameters" : quiet.first_text);
    return false;
}

static void follow(
    struct mu_log *log, const struct mu_audit_files *files, struct mu_audit_replayed *replayed)
{
    struct mu_audit_files here = *files, before;
    struct mu_audit_replayed later = *replayed, made;
    replayed->earlier_count = 0;
    replayed->version_earliest = replayed->version_first;
    while (later.version_first > 0 && mu_audit_files_before(&here, &before) &&
           lead_to(log, &before, &later, &made)) {
        replayed->earlier_count++;
        replayed->version_earliest = made.version_first;
        here = before;
        later = made;
    }
}

enum mu_status mu_audit_replay(
    struct mu_log *log, const char *directory, int64_t to, struct mu_audit_replayed *ret_replayed)
{
    struct mu_audit_files files, before;
    mu_audit_files_last(directory, &files);
    while (to >= 0 && to < files.version && mu_audit_files_before(&files, &before))
        files = before;
    MU_TRY(mu_audit_replay_files(log, &files, to, ret_replayed));
    follow(log, &files, ret_replayed);
    return MU_OK;
}
