/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job.h"
#include "sim/sim_job.h"
#include "test.h"

#define STEPS 60
#define CHECK_EVERY 10

/*
 * A machine that computes wrongly once: the lowest bit of one parameter of one replica flips in the
 * optimizer. Simulated tasks share this process, so the optimizer of all replicas is one; whose
 * turn it is, the simulation says whenever it lets a thread run.
 */
static struct {
    const struct mu_optimizer_ops *sound;
    int task; /* whose bit flips; -1: nobody's */
    int64_t step;
    int running;
} machine;

static int64_t note_who_runs(void *owner, int task, int64_t now_ns)
{
    (void)owner;
    (void)now_ns;
    machine.running = task;
    return 0;
}

static void sometimes_wrong(const void *options, const struct mu_optim_step *step)
{
    uint32_t bits;
    machine.sound->step(options, step);
    if (machine.running != machine.task || step->step != machine.step)
        return;
    memcpy(&bits, &step->parameters[3], sizeof(bits));
    bits ^= 1;
    memcpy(&step->parameters[3], &bits, sizeof(bits));
}

static enum mu_status train(struct mu_test_log *log, int replicas, int wrong_task, int wrong_step)
{
    struct mu_job *job;
    const char *const sets[] = {"train.steps=60", "mode.check_every=10", "log.every_steps=0", NULL};
    static_assert(STEPS == 60 && CHECK_EVERY == 10, "as the job says");
    mu_test_log_init(log);
    assert_ok(mu_job_load(&log->log, MUSTER_DEMO_JOB, sets, &job));
    struct mu_optimizer_ops optimizer = *job->optimizer;
    machine.sound = job->optimizer;
    machine.task = wrong_task;
    machine.step = wrong_step;
    optimizer.step = sometimes_wrong;
    job->optimizer = &optimizer;
    const struct mu_sim_faults faults = {.task_stop_ns = note_who_runs};
    const struct mu_sim_job simulated = {.job = job,
        .replicas = replicas,
        .seed = 1,
        .compute = {.mean_ns = MU_MS},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 100000,
        .faults = &faults};
    enum mu_status status = mu_sim_job_run(&simulated, &log->log);
    job->optimizer = machine.sound;
    mu_job_destroy(job);
    return status;
}

static struct mu_test_log test_log;
/* As mu_spec_from_addresses names the replicas. */
static const char *const names[] = {"chief/0", "worker/0", "worker/1"};

/* Whoever says who differs, says this. */
static void assert_blamed(const char *name, int step)
{
    static const char begin[] = "error[E0701]: ";
    char wanted[160];
    const char *at = test_log.text;
    int length = snprintf(wanted, sizeof(wanted),
        "%sthe parameters of %s are not those of the others at step %d", begin, name, step);
    assert_said(&test_log, wanted);
    for (; (at = strstr(at, begin)); at += length)
        if (strncmp(at, wanted, (size_t)length) != 0)
            fail_msg("not only %s is blamed:\n%s", name, test_log.text);
}

static void sound_replicas_pass_every_check(void **state)
{
    (void)state;
    assert_ok(train(&test_log, 3, -1, 0));
}

static void one_flipped_bit_names_its_replica_at_the_next_check(void **state)
{
    (void)state;
    for (int victim = 0; victim < 3; victim++)
        for (int step = CHECK_EVERY + 1; step <= 2 * CHECK_EVERY; step += CHECK_EVERY - 1) {
            assert_int_equal(train(&test_log, 3, victim, step), MU_BROKEN);
            assert_blamed(names[victim], 2 * CHECK_EVERY);
        }
}

static void of_two_replicas_neither_is_named(void **state)
{
    (void)state;
    assert_int_equal(train(&test_log, 2, 1, CHECK_EVERY + 1), MU_BROKEN);
    assert_said(&test_log, "error[E0701]: the parameters of the replicas are no longer equal");
}

/* Who finds it first says goodbye to the leader, which may then end for that reason. */
static void a_difference_in_the_last_step_is_found_at_the_end(void **state)
{
    (void)state;
    for (int victim = 0; victim < 3; victim++) {
        assert_int_not_equal(train(&test_log, 3, victim, STEPS), MU_OK);
        assert_blamed(names[victim], STEPS);
    }
    assert_int_not_equal(train(&test_log, 2, 1, STEPS), MU_OK);
    assert_said(&test_log, "error[E0701]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_replicas_pass_every_check),
        cmocka_unit_test(one_flipped_bit_names_its_replica_at_the_next_check),
        cmocka_unit_test(of_two_replicas_neither_is_named),
        cmocka_unit_test(a_difference_in_the_last_step_is_found_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
