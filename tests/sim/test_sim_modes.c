/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/sim_job.h"

/* Whole jobs in simulated time, in every mode of the parameter servers: they end, whoever is slow
 * and however unevenly the data falls, and a loss is noticed by those who wait. */
#define REPLICAS 4
#define SERVERS 2

static const char *path;

/* What a killed task had allocated is lost, as simulate.h says. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* Then the others have nothing left to do when the warm-up ends. */
#define REPLICA_0_ALONE "judged: apply 16;"

struct mode {
    const char *sets[4];
    const char *said[2]; /* of a run to its end */
};

/* 610 samples, 4 replicas, 20 a batch, two epochs: 16 steps of all, the last of an epoch ragged. */
static const struct mode modes[] = {
    {{"mode.kind=async"}, {NULL}},
    {{"mode.kind=async", "mode.policy=compensate", "mode.in_flight=2"},
        {"policy `compensate` keeps"}},
    {{"mode.kind=softsync", "mode.gradients=5", "mode.in_flight=2"}, {"gather "}},
    {{"mode.kind=softsync", "mode.gradients=3", "mode.warmup_steps=5"}, {"apply 5 gather"}},
    {{"mode.kind=sync", "mode.workers=4"}, {"16 steps, 1220 samples", "staleness mean 0.00"}},
    {{"mode.kind=sync", "mode.workers=3", "mode.backups=1"}, {"16 steps", "drop "}},
    {{"mode.kind=sync", "mode.backups=1", "train.steps=9"}, {"9 steps"}},
    {{"mode.kind=sync", "mode.workers=2", "mode.warmup_steps=30"}, {"16 steps", REPLICA_0_ALONE}},
    {{"mode.kind=bounded", "mode.bound=0"}, {"1220 samples"}},
    {{"mode.kind=bounded", "mode.bound=2", "mode.policy=scale", "mode.warmup_steps=7"},
        {"1220 samples", "scale "}},
    /* Longer than what replica 0 has: the others begin when it has left. */
    {{"mode.kind=bounded", "mode.bound=1", "mode.warmup_steps=1000"}, {"1220 samples"}},
    /* Replica 0 reads the first epoch whole: 31 steps. */
    {{"mode.kind=sync", "mode.workers=4", "mode.warmup_epochs=1"}, {"39 steps", "apply 31 gather"}},
    {{"mode.kind=async", "mode.warmup_epochs=1"}, {"1220 samples"}},
    {{"mode.kind=sync", "mode.backups=auto", "mode.auto_steps=4"}, {"16 steps", "auto: "}},
    {{"mode.kind=bounded", "mode.bound=auto", "mode.auto_steps=4", "mode.warmup_steps=5"},
        {"auto: ", "1220 samples"}},
    {{"mode.kind=sync", "mode.backups=1",
         "mode.schedule=[{\"from_step\": 5, \"kind\": \"async\", \"policy\": \"scale\"}, "
         "{\"from_step\": 25, \"kind\": \"bounded\", \"bound\": 1}]"},
        {"from version 5 on: mode `async`, policy `scale`", "from version 25 on: mode `bounded`"}},
    {{"mode.kind=softsync", "mode.gradients=3",
         "mode.schedule=[{\"from_epoch\": 1, \"kind\": \"sync\"}]"},
        {"from version 11 on: mode `sync` of 4 workers"}},
};

struct outcome {
    struct mu_test_log log;
    enum mu_status leader, statuses[REPLICAS + SERVERS];
};

static int victim; /* -1: none */
static int64_t victim_at_ns;

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    return task == victim && now_ns >= victim_at_ns ? MU_SIM_KILL : 0;
}

static int stuck = -1; /* -1: nobody */

static int64_t stick_ns(void *owner, int task, int64_t step)
{
    return task == stuck && step == 3 ? 1000 * MU_SECOND : 0;
}

static void simulate(struct outcome *outcome, const struct mode *mode, uint64_t seed)
{
    const char *sets[16] = {"data.samples=610", "data.test_samples=50", "data.batch=20",
        "model.widths=[784,16,10]", "train.epochs=2", "mode.policy=apply"};
    size_t count = 6;
    for (int i = 0; i < 4 && mode->sets[i]; i++)
        sets[count++] = mode->sets[i];
    struct mu_log *log = mu_test_log_init(&outcome->log);
    const struct mu_sim_faults faults = {.task_stop_ns = stop_ns, .compute_delay_ns = stick_ns};
    struct mu_job *job = NULL;
    log->level = MU_LEVEL_INFO;
    assert_ok(mu_job_load(log, path, sets, &job));
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = REPLICAS,
        .servers = SERVERS,
        .seed = seed,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = 0.8},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .faults = &faults,
        .statuses = outcome->statuses,
    };
    outcome->leader = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
}

static void every_mode_comes_to_its_end(void **state)
{
    static struct outcome outcome;
    victim = -1;
    for (size_t m = 0; m < MU_COUNT_OF(modes); m++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            simulate(&outcome, &modes[m], seed);
            if (outcome.leader != MU_OK)
                fail_msg("%s: %s", modes[m].sets[0], outcome.log.text);
            for (int i = 0; i < REPLICAS + SERVERS; i++)
                assert_int_equal(outcome.statuses[i], MU_OK);
            for (int i = 0; i < 2 && modes[m].said[i]; i++)
                assert_said(&outcome.log, modes[m].said[i]);
        }
}

static void who_waits_for_a_worker_hears_that_it_is_dead(void **state)
{
    static struct outcome outcome;
    for (size_t m = 0; m < MU_COUNT_OF(modes); m++)
        for (victim = 1; victim <= 2; victim++) {
            victim_at_ns = 60 * MU_MS;
            simulate(&outcome, &modes[m], 1);
            for (int i = 0; i < REPLICAS + SERVERS; i++)
                if (outcome.statuses[i] != MU_UNAVAILABLE)
                    fail_msg("%s: task %d ended with %s: %s", modes[m].sets[0], i,
                        mu_status_name(outcome.statuses[i]), outcome.log.text);
            assert_said(&outcome.log, victim == 1 ? "worker/0" : "worker/1");
        }
}

/* Not the server that holds the answers back, and not who waits with them. */
static void who_waits_for_a_worker_hears_that_it_is_stuck(void **state)
{
    static struct outcome outcome;
    victim = -1;
    for (size_t m = 0; m < MU_COUNT_OF(modes); m++)
        for (stuck = 0; stuck <= 1; stuck++) {
            if (stuck == 1 && modes[m].said[1] && strcmp(modes[m].said[1], REPLICA_0_ALONE) == 0)
                continue;
            char said[64];
            simulate(&outcome, &modes[m], 1);
            assert_int_equal(outcome.leader, MU_UNAVAILABLE);
            snprintf(said, sizeof(said), "%s (10.0.0.%d:2222) does not get on",
                stuck == 0 ? "chief/0" : "worker/0", stuck + 1);
            if (!strstr(outcome.log.text, said))
                fail_msg("%s: %s", modes[m].sets[0], outcome.log.text);
        }
    stuck = -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_comes_to_its_end),
        cmocka_unit_test(who_waits_for_a_worker_hears_that_it_is_dead),
        cmocka_unit_test(who_waits_for_a_worker_hears_that_it_is_stuck),
    };
    path = argv[argc - 1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
