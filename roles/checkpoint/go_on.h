/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_GO_ON_H
#define MU_ROLES_GO_ON_H

#include "roles/job/job.h"
#include "roles/run_request.h"

/* How to go on with a run that has failed or was stopped, to be pasted into a shell. */
struct mu_go_on {
    const struct mu_run_request *request;
    const struct mu_job *job;
    const struct mu_spec *spec;
    const char *directory; /* of the run */
    bool begun;            /* it has trained */
};

/* "build/muster run job.json --out runs/a --resume --set train.steps=9 --local 2" */
void mu_go_on_command(const struct mu_go_on *go_on, bool resumes, struct mu_text *out);
/* "to go on from the last checkpoint: " and the command; where there is none why, and the command
 * that begins anew. Looks at the directory; from any thread. */
void mu_go_on_say(const struct mu_go_on *go_on, char *out, size_t bytes);

#endif
