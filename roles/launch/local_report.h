/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOCAL_REPORT_H
#define MU_ROLES_LOCAL_REPORT_H

#include "roles/launch/local_child.h"
#include "runtime/base/text.h"

/* How a local cluster ended, seen from all its children: they have all ended. */
struct mu_local_outcome {
    const struct mu_local_child *children;
    int count;
    int user_signal; /* the first of the user's, or 0 */
    int64_t user_signal_ns;
    bool insisted;        /* the user sent a second: every task was killed */
    bool killed;          /* the launcher had to SIGKILL somebody */
    bool servers_may_die; /* the run goes on without a parameter server, or waits for it */
    bool has_standbys;    /* it goes on without the first server that is lost */
    const char *out_dir;
    int64_t started_ns;
};

/* Does the way in which this child ended call for stopping the others? */
bool mu_local_report_is_final(const struct mu_local_child *child);
/* Of the first real cause. After a second signal of the user's only what was there before the first
 * is one: the rest is tasks that miss those that were killed. */
int mu_local_report_code(const struct mu_local_outcome *outcome);
/* The block at the end; "" when there is nothing to tell. */
void mu_local_report_write(const struct mu_local_outcome *outcome, struct mu_text *out);

#endif
