/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_JOB_CASE_H
#define MU_TEST_JOB_CASE_H

#include "roles/job/job.h"
#include "runtime/base/text.h"
#include "test.h"
#include <unistd.h>

/* Jobs of a test, which are written to a file and read from there. */
static char job_path[] = "/tmp/muster-job-XXXXXX";

static inline int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(job_path);
    return fd < 0 ? -1 : close(fd);
}

static inline int drop_path(void **state)
{
    (void)state;
    return unlink(job_path);
}

static inline enum mu_status load(
    struct mu_test_log *log, const char *text, const char *const sets[], struct mu_job **ret_job)
{
    FILE *file = fopen(job_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    *ret_job = NULL;
    return mu_job_load(mu_test_log_init(log), job_path, sets, ret_job);
}

/* The example of the design. */
static const char whole[] =
    "{ \"name\": \"mnist-sync\",\n"
    "  \"model\":      { \"kind\": \"mlp\", \"widths\": [784, 128, 10] },\n"
    "  \"data\":       { \"kind\": \"idx\", \"path\": \"data/mnist\", \"batch\": 32 },\n"
    "  \"mode\":       { \"kind\": \"sync\" },\n"
    "  \"optimizer\":  { \"kind\": \"momentum\", \"learning_rate\": 0.05, \"momentum\": 0.8 },\n"
    "  \"schedule\":   { \"kind\": \"cosine\", \"warmup_steps\": 100 },\n"
    "  \"train\":      { \"epochs\": 5, \"seed\": 7 },\n"
    "  \"checkpoint\": { \"every_steps\": 500, \"keep\": 3 } }\n";

#define MODEL "\"model\": {\"kind\": \"mlp\", \"widths\": [784, 10]}"

#endif
