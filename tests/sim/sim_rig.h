/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_SIM_RIG_H
#define MU_TEST_SIM_RIG_H

#include "sim/sim_job.h"
#include "test.h"

/*
 * Whole jobs in simulated time, for tests that look at what a run leaves in its directory: it is
 * `run` in a folder of this test alone, which is there between begin and end.
 */
#define SIM_RIG_NAME_MAX 160

/* Of one server. */
struct sim_rig_fault {
    int server;
    int64_t at_ns, hangs_ns; /* 0: it dies */
    bool done;
    int64_t last_ns; /* when somebody ran last */
};

struct sim_rig_run {
    const char *job;         /* its file; NULL: the one that begin has written */
    const char *const *sets; /* NULL-terminated */
    int replicas, servers;
    uint64_t seed;
    double sigma;                /* of the times of steps, which are 10 ms in the mean */
    bool resume;                 /* else what the run before has left is removed */
    struct sim_rig_fault *fault; /* NULL: none */
};

/* `job_text` NULL: there is no file of a job. */
void sim_rig_begin(const char *job_text);
void sim_rig_end(void);
/* A file that the run has left. */
void sim_rig_file(char out[SIM_RIG_NAME_MAX], const char *name);
/* A job that cannot be loaded fails the test. */
enum mu_status sim_rig_run(const struct sim_rig_run *run, struct mu_test_log *said);
/* Of the parameters, by summary.json. */
uint32_t sim_rig_crc_of_summary(void);

#endif
