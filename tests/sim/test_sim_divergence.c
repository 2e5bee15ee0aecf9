/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job.h"
#include "sim/sim_job.h"
#include "test.h"

/* A machine that computes wrongly once: the optimizer of one replica adds a little to one
 * parameter. Simulated tasks share this process, so the calls of all replicas pass here. */
static const struct mu_optimizer_ops *sound;
static int calls, wrong_call;

static void sometimes_wrong(const void *options, const struct mu_optim_step *step)
{
    sound->step(options, step);
    if (++calls == wrong_call)
        step->parameters[3] += 1e-6f;
}

static enum mu_status train(struct mu_test_log *log, int replicas, int wrong)
{
    struct mu_job *job;
    const char *const sets[] = {"train.steps=60", "mode.check_every=10", "log.every_steps=0", NULL};
    mu_test_log_init(log);
    assert_ok(mu_job_load(&log->log, MUSTER_DEMO_JOB, sets, &job));
    struct mu_optimizer_ops optimizer = *job->optimizer;
    sound = job->optimizer;
    optimizer.step = sometimes_wrong;
    job->optimizer = &optimizer;
    calls = 0;
    wrong_call = wrong;
    const struct mu_sim_job simulated = {.job = job,
        .replicas = replicas,
        .seed = 1,
        .compute = {.mean_ns = MU_MS},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 100000};
    enum mu_status status = mu_sim_job_run(&simulated, &log->log);
    job->optimizer = sound;
    mu_job_destroy(job);
    return status;
}

static struct mu_test_log test_log;

static void sound_replicas_pass_every_check(void **state)
{
    (void)state;
    assert_ok(train(&test_log, 3, 0));
}

static void a_replica_that_differs_is_found_within_ten_steps(void **state)
{
    (void)state;
    /* The 32nd step of an optimizer is that of replica (32 - 1) % 3, in step 11. */
    assert_int_equal(train(&test_log, 3, 32), MU_BROKEN);
    assert_said(&test_log, "error[E0701]: the parameters of");
    assert_said(&test_log, "are not those of the others");
}

/* Who finds it first says goodbye to the leader, which may then end for that reason. */
static void a_difference_in_the_last_step_is_found_at_the_end(void **state)
{
    (void)state;
    for (int replicas = 2; replicas <= 3; replicas++) {
        assert_int_not_equal(train(&test_log, replicas, replicas * 60), MU_OK);
        assert_said(&test_log, "error[E0701]");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_replicas_pass_every_check),
        cmocka_unit_test(a_replica_that_differs_is_found_within_ten_steps),
        cmocka_unit_test(a_difference_in_the_last_step_is_found_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
