/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/sim_job.h"
#include <math.h>
#include <stdio.h>

/* Backups and bounds that are chosen from measured times, in simulated time: what is predicted is
 * what comes. */
#define REPLICAS 6
#define SERVERS 2

/* 48 of the 2,400 times that are measured are ten times as long, and as many, by chance some more
 * or less, of those that check them. */
#define TOLERANCE 0.1
#define SEEDS 2

static const char *path;

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* of killed tasks, as simulate.h says */
}

static const struct mu_sim_compute even = {.kind = MU_SIM_COMPUTE_FIXED, .mean_ns = MU_SECOND};
/* As Chen et al. 2016 saw it: a lognormal time, and two in a hundred ten times as long. */
static const struct mu_sim_compute straggling = {.kind = MU_SIM_COMPUTE_LOGNORMAL,
    .mean_ns = MU_SECOND,
    .sigma = 0.3,
    .straggle_fraction = 0.02,
    .straggle_factor = 10};

struct kill {
    int task;
    int64_t at_ns;
    bool done;
};

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    struct kill *kill = owner;
    if (task != kill->task || now_ns < kill->at_ns || kill->done)
        return 0;
    kill->done = true;
    return MU_SIM_KILL;
}

static enum mu_status simulate(struct mu_test_log *test_log, const struct mu_sim_compute *compute,
    const char *const sets[], uint64_t seed, struct kill *kill)
{
    const char *all[24] = {"data.samples=4000", "data.test_samples=20", "data.batch=1",
        "model.widths=[784,2,10]", "mode.policy=apply", "mode.auto_steps=400", "train.epochs=4"};
    size_t count = 7;
    for (int i = 0; sets[i]; i++)
        all[count++] = sets[i];
    struct mu_log *log = mu_test_log_init(test_log);
    const struct mu_sim_faults faults = {.owner = kill, .task_stop_ns = stop_ns};
    struct mu_job *job = NULL;
    log->level = MU_LEVEL_INFO;
    assert_ok(mu_job_load(log, path, all, &job));
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = REPLICAS,
        .servers = SERVERS,
        .seed = seed,
        .compute = *compute,
        .link_bits_per_second = 10000000000,
        .link_latency_ns = 50000,
        .faults = kill ? &faults : NULL,
    };
    enum mu_status status = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
    return status;
}

struct chosen {
    int workers, backups, bound;
    double predicted, measured;
};

/* What the head said. */
static struct chosen read(const struct mu_test_log *test_log)
{
    struct chosen chosen = {0};
    double predicted;
    const char *said = strstr(test_log->text, "auto: ");
    assert_non_null(said);
    if (sscanf(said, "auto: %d workers and %d backups, after 400 steps: %lf", &chosen.workers,
            &chosen.backups, &chosen.predicted) != 3)
        assert_int_equal(sscanf(said, "auto: a bound of %d, after 400 steps: %lf", &chosen.bound,
                             &chosen.predicted),
            2);
    said = strstr(said + 1, "auto: ");
    assert_non_null(said);
    assert_int_equal(sscanf(said, "auto: %lf times the gradients a second measured, %lf predicted",
                         &chosen.measured, &predicted),
        2);
    assert_float_equal(predicted, chosen.predicted, 1e-9);
    return chosen;
}

static struct chosen run(
    const struct mu_sim_compute *compute, const char *const sets[], uint64_t seed)
{
    static struct mu_test_log test_log;
    if (simulate(&test_log, compute, sets, seed, NULL) != MU_OK)
        fail_msg("%s", test_log.text);
    return read(&test_log);
}

static const char *const sync[] = {"mode.kind=sync", "mode.backups=auto", "train.steps=810", NULL};
static const char *const bounded[] = {
    "mode.kind=bounded", "mode.bound=auto", "train.steps=5100", NULL};

static void agree(const char *const sets[], struct chosen (*check)(struct chosen chosen))
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chosen chosen = check(run(&straggling, sets, seed));
        if (fabs(chosen.measured / chosen.predicted - 1) > TOLERANCE)
            fail_msg(
                "seed %d: %g measured, %g predicted", (int)seed, chosen.measured, chosen.predicted);
    }
}

static struct chosen has_backups(struct chosen chosen)
{
    assert_in_range(chosen.backups, 1, 3);
    assert_int_equal(chosen.workers + chosen.backups, REPLICAS);
    assert_true(chosen.predicted > 1.2);
    return chosen;
}

static struct chosen has_bound(struct chosen chosen)
{
    assert_in_range(chosen.bound, 2, 16);
    assert_true(chosen.predicted > 1.5);
    return chosen;
}

static void stragglers_get_backups_that_gain_what_was_predicted(void **state)
{
    agree(sync, has_backups);
}

static void stragglers_get_a_bound_that_gains_what_was_predicted(void **state)
{
    agree(bounded, has_bound);
}

static void even_workers_get_none(void **state)
{
    struct chosen chosen = run(&even, sync, 1);
    assert_int_equal(chosen.backups, 0);
    assert_float_equal(chosen.predicted, 1, 0.001);
    assert_float_equal(chosen.measured, 1, 0.01);
    chosen = run(&even, bounded, 1);
    assert_int_equal(chosen.bound, 0);
    assert_float_equal(chosen.measured, 1, 0.01);
}

static void the_same_seed_makes_the_same_choice(void **state)
{
    struct chosen first = run(&straggling, sync, 3), again = run(&straggling, sync, 3);
    assert_int_equal(first.backups, again.backups);
    assert_true(first.predicted == again.predicted && first.measured == again.measured);
}

/* In an entry of the schedule, and after a warm-up, it is measured there. */
static void a_phase_measures_when_it_begins(void **state)
{
    static const char *const later[] = {"mode.kind=async", "mode.warmup_steps=20",
        "mode.schedule=[{\"from_step\": 60, \"kind\": \"sync\", \"backups\": \"auto\"}]",
        "train.steps=880", NULL};
    has_backups(run(&straggling, later, 1));
}

static void a_run_that_is_too_short_chooses_nothing(void **state)
{
    static struct mu_test_log test_log;
    static const char *const few[] = {
        "mode.kind=sync", "mode.backups=auto", "train.steps=60", NULL};
    assert_ok(simulate(&test_log, &straggling, few, 1, NULL));
    assert_non_null(strstr(test_log.text, "nothing is chosen"));
    assert_null(strstr(test_log.text, "predicted"));
}

static void a_worker_that_dies_while_it_is_measured_ends_the_run(void **state)
{
    static struct mu_test_log test_log;
    struct kill worker = {.task = 3, .at_ns = 20 * MU_SECOND};
    assert_int_equal(simulate(&test_log, &straggling, sync, 1, &worker), MU_UNAVAILABLE);
    assert_null(strstr(test_log.text, "predicted"));
}

/* Their steps are no more than one measurement and one check take: nothing begins anew. */
static void lose_the_head(
    const char *const sets[], struct chosen (*check)(struct chosen chosen), int64_t at_ns)
{
    static struct mu_test_log test_log;
    const char *twice[6] = {"mode.replicas=1"};
    struct kill head = {.task = REPLICAS, .at_ns = at_ns};
    for (int i = 0; sets[i]; i++)
        twice[1 + i] = sets[i];
    if (simulate(&test_log, &straggling, twice, 1, &head) != MU_OK)
        fail_msg("%s", test_log.text);
    assert_said(&test_log, "ps/1 judges gradients from now on");
    assert_said(&test_log, "ps/1: auto: ");
    struct chosen chosen = check(read(&test_log));
    if (fabs(chosen.measured / chosen.predicted - 1) > TOLERANCE)
        fail_msg("lost at %d s: %g measured, %g predicted", (int)(at_ns / MU_SECOND),
            chosen.measured, chosen.predicted);
}

static void who_takes_over_goes_on_measuring_and_checking(void **state)
{
    for (int64_t at_ns = 100 * MU_SECOND; at_ns <= 1300 * MU_SECOND; at_ns += 480 * MU_SECOND) {
        lose_the_head(sync, has_backups, at_ns);
        lose_the_head(bounded, has_bound, at_ns);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stragglers_get_backups_that_gain_what_was_predicted),
        cmocka_unit_test(stragglers_get_a_bound_that_gains_what_was_predicted),
        cmocka_unit_test(even_workers_get_none),
        cmocka_unit_test(the_same_seed_makes_the_same_choice),
        cmocka_unit_test(a_phase_measures_when_it_begins),
        cmocka_unit_test(a_run_that_is_too_short_chooses_nothing),
        cmocka_unit_test(who_takes_over_goes_on_measuring_and_checking),
        cmocka_unit_test(a_worker_that_dies_while_it_is_measured_ends_the_run),
    };
    path = argv[argc - 1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
