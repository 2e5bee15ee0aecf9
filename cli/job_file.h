/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_JOB_FILE_H
#define MU_CLI_JOB_FILE_H

#include "roles/job/job.h"

/* The job that a command line names: mu_job_load, and where there is no such file, which one may
 * have been meant. */
enum mu_status mu_job_file_load(
    struct mu_log *log, const char *path, const char *const sets[], struct mu_job **ret_job);

#endif
