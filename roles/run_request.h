/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_RUN_REQUEST_H
#define MU_ROLES_RUN_REQUEST_H

#include "cluster/spec.h"

/* What the flags are where they are left out: seconds, as the rows of the command line say them. */
#define MU_RUN_START_TIMEOUT 120
#define MU_RUN_STEP_TIMEOUT 300

/* How soon a silent peer counts as dead: in 5 s, or in 0.8 s where the network and the machines
 * are known to be quick. */
enum mu_failure_detection { MU_DETECT_DEFAULT, MU_DETECT_FAST };

/* What `muster run` was asked for, checked; borrowed texts live as long as the command line. */
struct mu_run_request {
    const char *job_path;
    const char *const *sets; /* "train.steps=100", NULL-terminated */
    const char *out_dir;     /* NULL: runs/<name of the job> */
    bool resume;
    bool local;                      /* start every task on this machine */
    int local_counts[MU_ROLE_COUNT]; /* where `local` */
    struct mu_spec_request cluster;  /* --cluster, --task, --roles */
    int64_t start_timeout_ns, step_timeout_ns;
    enum mu_failure_detection failure_detection;
    bool quiet, verbose;
};

#endif
