/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/sim_job.h"
#include <inttypes.h>
#include <stdlib.h>

/* Whole jobs in simulated time; a parameter server dies at many points, and comes back. */
#define REPLICAS 2
#define SERVERS 2
#define TASKS (REPLICAS + SERVERS)
/* ThreadSanitizer keeps memory of every simulated world. */
#if defined(__SANITIZE_THREAD__)
#define POINTS 8
#else
#define POINTS 24
#endif
#define BACK_AFTER_NS (300 * MU_MS)

/* What a killed task had allocated is lost, as simulate.h says. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

struct fault {
    int victim;
    int64_t at_ns;
    int64_t pause_ns;      /* > 0: it only sleeps for so long */
    bool cut_to, cut_from; /* it lives, and nothing reaches it, or the others */
    bool comes_back, done;
    int64_t last_ns;
    int second; /* another one, so much later; 0: none */
    int64_t gap_ns;
    bool second_done;
};

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    struct fault *fault = owner;
    fault->last_ns = now_ns;
    if (fault->second > 0 && task == fault->second && !fault->second_done &&
        now_ns >= fault->at_ns + fault->gap_ns) {
        fault->second_done = true;
        return MU_SIM_KILL;
    }
    if (task != fault->victim || fault->done || now_ns < fault->at_ns || fault->cut_to ||
        fault->cut_from)
        return 0;
    fault->done = true;
    return fault->pause_ns > 0 ? fault->pause_ns : MU_SIM_KILL;
}

static int64_t link_delay_ns(void *owner, int from, int to, int64_t now_ns)
{
    const struct fault *fault = owner;
    bool is_cut = (fault->cut_to && to == fault->victim && from != to) ||
                  (fault->cut_from && from == fault->victim && from != to);
    return is_cut && now_ns >= fault->at_ns ? MU_FOREVER : 0;
}

struct outcome {
    struct mu_test_log log;
    enum mu_status leader, statuses[TASKS];
};

static struct mu_job *load(struct mu_log *log, const char *text)
{
    struct mu_job *job = NULL;
    assert_ok(mu_job_parse(log, "test", text, strlen(text), &job));
    return job;
}

static void simulate(struct outcome *outcome, const char *text, struct fault *fault)
{
    struct mu_log *log = mu_test_log_init(&outcome->log);
    const struct mu_sim_faults faults = {
        .owner = fault, .task_stop_ns = stop_ns, .link_delay_ns = link_delay_ns};
    log->level = MU_LEVEL_INFO;
    struct mu_job *job = load(log, text);
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = REPLICAS,
        .servers = SERVERS,
        .seed = 1,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = 0.3},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .faults = &faults,
        .restarted = fault->victim,
        .restart_ns = fault->comes_back ? fault->at_ns + BACK_AFTER_NS : 0,
        .statuses = outcome->statuses,
    };
    outcome->leader = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
}

/* 60 batches; more servers than one, and checkpoints between. */
#define REST                                                                                       \
    "\"optimizer\": { \"kind\": \"momentum\", \"learning_rate\": 0.05 },"                          \
    "\"train\": { \"epochs\": 2, \"seed\": 1 }, \"checkpoint\": { \"every_steps\": 10 } }"

static const char dense[] =
    "{ \"name\": \"dense\", \"mode\": { \"kind\": \"async\", \"recovery_seconds\": 5 },"
    "  \"model\": { \"kind\": \"mlp\", \"widths\": [784, 16, 10] },"
    "  \"data\": { \"kind\": \"glyphs\", \"samples\": 600, \"test_samples\": 50, \"batch\": 20 "
    "}," REST;

#define CLICKS(fields)                                                                             \
    "  \"model\": { \"kind\": \"wide_deep\", \"dimension\": 4, \"widths\": [8] },"                 \
    "  \"data\": { \"kind\": \"clicks\", " fields "\"samples\": 600, "                             \
    "\"test_samples\": 200, \"batch\": 20 }," REST

static const char rows[] =
    "{ \"name\": \"rows\", \"mode\": { \"kind\": \"async\", \"recovery_seconds\": 5 }," CLICKS("");

/* All of its rows are there from the beginning. */
#define FIELDS "\"fields\": \"10,60x3\", "

static const char dense_rows[] = "{ \"name\": \"rows\", \"mode\": { \"kind\": \"async\", \"rows\": "
                                 "\"dense\", \"recovery_seconds\": 5 }," CLICKS(FIELDS);

static const char bounded[] =
    "{ \"name\": \"bounded\", \"mode\": { \"kind\": \"bounded\", \"bound\": 2,"
    "  \"recovery_seconds\": 5 },"
    "  \"model\": { \"kind\": \"mlp\", \"widths\": [784, 16, 10] },"
    "  \"data\": { \"kind\": \"glyphs\", \"samples\": 600, \"test_samples\": 50, \"batch\": 20 "
    "}," REST;

#define TWICE "\"replicas\": 1 },"

static const char twice[] = "{ \"name\": \"twice\", \"mode\": { \"kind\": \"async\", " TWICE
                            "  \"model\": { \"kind\": \"mlp\", \"widths\": [784, 16, 10] },"
                            "  \"data\": { \"kind\": \"glyphs\", \"samples\": 600, "
                            "\"test_samples\": 50, \"batch\": 20 }," REST;

static const char rows_twice[] =
    "{ \"name\": \"rows\", \"mode\": { \"kind\": \"async\", " TWICE CLICKS("");

static const char dense_rows_twice[] =
    "{ \"name\": \"rows\", \"mode\": { \"kind\": \"async\", \"rows\": \"dense\", " TWICE CLICKS(
        FIELDS);

static int64_t length_of_run(const char *text)
{
    static struct outcome outcome;
    struct fault none = {.victim = -1};
    simulate(&outcome, text, &none);
    assert_ok(outcome.leader);
    return none.last_ns;
}

/* What is left of an epoch is shared out anew: the last batch of each replica may be a small one.
 */
static void expect_steps(const struct outcome *outcome, int64_t steps)
{
    const char *at = strstr(outcome->log.text, " steps, ");
    while (at && at > outcome->log.text && at[-1] >= '0' && at[-1] <= '9')
        at--;
    int64_t done = at ? strtoll(at, NULL, 10) : -1;
    if (done < steps || done > steps + 2 * REPLICAS)
        fail_msg("%" PRId64 " steps\n%s", done, outcome->log.text);
}

static void lose_at_many_times(const char *text, int64_t steps)
{
    static struct outcome outcome;
    int64_t length_ns = length_of_run(text);
    int recovered = 0, lossy = 0;
    for (int victim = REPLICAS; victim < TASKS; victim++)
        for (int k = 0; k < POINTS; k++) {
            struct fault fault = {
                .victim = victim, .at_ns = length_ns * k / POINTS + k, .comes_back = true};
            simulate(&outcome, text, &fault);
            bool goes_on = strstr(outcome.log.text, "the run goes on from version ");
            recovered += goes_on;
            for (int i = 0; i < TASKS; i++)
                if (outcome.statuses[i] != MU_OK && (i != victim || goes_on))
                    fail_msg("ps/%d killed at %" PRId64 " of %" PRId64
                             ": task %d ended with %s\n%s",
                        victim - REPLICAS, fault.at_ns, length_ns, i,
                        mu_status_name(outcome.statuses[i]), outcome.log.text);
            expect_steps(&outcome, steps);
            /* Each once an epoch: what was read again is told apart. */
            assert_said(&outcome.log, " steps, 1200 samples in ");
            lossy += strstr(outcome.log.text, " samples more were read, whose") != NULL;
        }
    assert_in_range(lossy, POINTS, recovered);
    /* Before the start and after the end nothing has to be recovered. */
    assert_in_range(recovered, POINTS, 2 * POINTS);
}

static void a_run_goes_on_whenever_a_server_is_lost_and_comes_back(void **state)
{
    (void)state;
    lose_at_many_times(dense, 60);
    lose_at_many_times(bounded, 60);
}

static void the_rows_of_an_embedding_table_come_back_with_their_server(void **state)
{
    (void)state;
    lose_at_many_times(rows, 60);
}

static void and_so_do_those_that_are_there_from_the_beginning(void **state)
{
    (void)state;
    lose_at_many_times(dense_rows, 60);
}

static void a_server_that_does_not_come_back_ends_the_run(void **state)
{
    (void)state;
    static struct outcome outcome;
    int64_t half_ns = length_of_run(dense) / 2;
    for (int victim = REPLICAS; victim < TASKS; victim++) {
        struct fault fault = {.victim = victim, .at_ns = half_ns};
        simulate(&outcome, dense, &fault);
        for (int i = 0; i < TASKS; i++)
            assert_int_equal(outcome.statuses[i], MU_UNAVAILABLE);
        assert_said(&outcome.log, "it did not come back within 5.0 s");
    }
}

static double seconds(double number, const char *unit)
{
    return number * (strcmp(unit, "s") == 0       ? 1
                        : strcmp(unit, "ms") == 0 ? 1e-3
                        : strcmp(unit, "us") == 0 ? 1e-6
                                                  : 1e-9);
}

/* A server that is killed was heard within the last heartbeats, and not after it was missed. False:
 * nobody had to wait for its standby. */
static bool check_takeover(const char *log, int order)
{
    const char *line = strstr(log, "the standby took over in ");
    double took, silence;
    char unit[4], its_unit[4];
    int heard;
    if (!line)
        return false;
    assert_int_equal(sscanf(line,
                         "the standby took over in %lf %3[a-z], %lf %3[a-z] after ps/%d was last "
                         "heard",
                         &took, unit, &silence, its_unit, &heard),
        5);
    assert_int_equal(heard, order);
    took = seconds(took, unit);
    silence = seconds(silence, its_unit);
    assert_true(silence >= took);
    assert_true(silence <= took + 0.2);
    return true;
}

/* Once the servers have their state; before that a loss ends the run, as without standbys. */
static void do_without_at_many_times(const char *text)
{
    static struct outcome outcome;
    int64_t length_ns = length_of_run(text);
    int without = 0, took_over = 0;
    for (int victim = REPLICAS; victim < TASKS; victim++)
        for (int k = 0; k < POINTS; k++) {
            struct fault fault = {.victim = victim, .at_ns = length_ns * k / POINTS + k};
            simulate(&outcome, text, &fault);
            took_over += check_takeover(outcome.log.text, victim - REPLICAS);
            bool is_told = strstr(outcome.log.text, "; the run goes on without it");
            bool is_over = strstr(outcome.log.text, "chief/0: 60 steps, 1200 samples");
            without += is_told;
            for (int i = 0; i < TASKS; i++) {
                bool well = outcome.statuses[i] == MU_OK;
                if (i != victim && well != (is_told || is_over))
                    fail_msg("ps/%d killed at %" PRId64 " of %" PRId64
                             ": task %d ended with %s\n%s",
                        victim - REPLICAS, fault.at_ns, length_ns, i,
                        mu_status_name(outcome.statuses[i]), outcome.log.text);
            }
            /* Nothing that was acknowledged is missing, and whoever judges at the end says what. */
            if (is_told) {
                assert_true(is_over);
                assert_said(&outcome.log, " gradients judged:");
            }
        }
    assert_in_range(without, POINTS, 2 * POINTS);
    assert_in_range(took_over, POINTS, without);
}

static void a_run_with_standbys_goes_on_without_a_server_lost_at_any_time(void **state)
{
    (void)state;
    do_without_at_many_times(twice);
}

static void and_so_do_the_rows_of_an_embedding_table(void **state)
{
    (void)state;
    do_without_at_many_times(rows_twice);
}

static void and_those_that_are_there_from_the_beginning(void **state)
{
    (void)state;
    do_without_at_many_times(dense_rows_twice);
}

/* The others have given it up, and it finds that where it would find their end. */
static void a_server_that_slept_for_too_long_knows_that_the_run_goes_on(void **state)
{
    (void)state;
    static struct outcome outcome;
    int64_t length_ns = length_of_run(twice);
    int without = 0;
    for (int victim = REPLICAS; victim < TASKS; victim++)
        for (int k = 0; k < POINTS; k++) {
            char said[160];
            struct fault fault = {
                .victim = victim, .at_ns = length_ns * k / POINTS + k, .pause_ns = 5100 * MU_MS};
            simulate(&outcome, twice, &fault);
            if (!strstr(outcome.log.text, "; the run goes on without it\n"))
                continue;
            without++;
            assert_ok(outcome.leader);
            assert_int_equal(outcome.statuses[victim], MU_UNAVAILABLE);
            snprintf(said, sizeof(said),
                "ps/%d: error[E0405]: this task was given up: chief/0 (10.0.0.1:2222) had heard "
                "nothing from it since ",
                victim - REPLICAS);
            assert_said(&outcome.log, said);
            snprintf(said, sizeof(said),
                "; the run goes on without it: ps/%d has what it had and serves that",
                TASKS - 1 - victim);
            assert_said(&outcome.log, said);
            assert_null(strstr(outcome.log.text, "chief/0 (10.0.0.1:2222) died"));
        }
    assert_in_range(without, POINTS, 2 * POINTS);
}

/* What nothing reaches cannot know which of the two is lost, and says so; what still hears is told.
 */
static void a_server_that_was_cut_off_says_what_it_can_know(void **state)
{
    (void)state;
    static struct outcome outcome;
    int64_t half_ns = length_of_run(twice) / 2;
    for (int victim = REPLICAS; victim < TASKS; victim++)
        for (int ways = 1; ways < 4; ways++) {
            char said[160];
            bool hears = (ways & 1) == 0;
            struct fault fault = {
                .victim = victim, .at_ns = half_ns, .cut_to = !hears, .cut_from = ways & 2};
            simulate(&outcome, twice, &fault);
            assert_ok(outcome.leader);
            assert_int_equal(outcome.statuses[victim], MU_UNAVAILABLE);
            assert_said(&outcome.log, "; the run goes on without it\n");
            snprintf(said, sizeof(said), "ps/%d: error[%s (10.0.0.1:2222) %s", victim - REPLICAS,
                hears ? "E0405]: this task was given up: chief/0" : "E0402]: chief/0",
                hears ? "had heard nothing from it since " : "is unresponsive: nothing heard");
            assert_said(&outcome.log, said);
            snprintf(said, sizeof(said),
                "if it is there and only this task was cut off, the run goes on with ps/%d in its "
                "place, and there is nothing to type; if not, ",
                TASKS - 1 - victim);
            assert_int_equal(strstr(outcome.log.text, said) == NULL, hears);
        }
}

/* Whatever else dies: the others all end, and all with the same. */
static void lose_two(const char *text, bool comes_back)
{
    static struct outcome outcome;
    static const int64_t gaps[] = {0, MU_MS, 20 * MU_MS, 150 * MU_MS, 310 * MU_MS, 400 * MU_MS};
    int64_t half_ns = length_of_run(text) / 2;
    for (int victim = REPLICAS; victim < TASKS; victim++)
        for (int second = 1; second < TASKS; second++)
            for (size_t g = 0; g < MU_COUNT_OF(gaps); g++) {
                struct fault fault = {.victim = victim,
                    .at_ns = half_ns,
                    .comes_back = comes_back,
                    .second = second,
                    .gap_ns = gaps[g]};
                if (second == victim)
                    continue;
                simulate(&outcome, text, &fault);
                assert_true(outcome.leader == MU_OK || outcome.leader == MU_UNAVAILABLE);
                /* Who comes back to a run that is over waits for it a while. */
                if (!comes_back)
                    assert_in_range(fault.last_ns, half_ns, half_ns + 10 * MU_SECOND);
                for (int i = 0; i < TASKS; i++)
                    if (i != second && i != victim && outcome.statuses[i] != outcome.leader)
                        fail_msg("%d and %d killed: %d ended with %s\n%s", victim, second, i,
                            mu_status_name(outcome.statuses[i]), outcome.log.text);
            }
}

static void two_losses_end_a_run_or_do_not_but_nobody_hangs(void **state)
{
    (void)state;
    lose_two(dense, true);
    lose_two(dense, false);
    lose_two(twice, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_on_whenever_a_server_is_lost_and_comes_back),
        cmocka_unit_test(the_rows_of_an_embedding_table_come_back_with_their_server),
        cmocka_unit_test(and_so_do_those_that_are_there_from_the_beginning),
        cmocka_unit_test(a_run_with_standbys_goes_on_without_a_server_lost_at_any_time),
        cmocka_unit_test(and_so_do_the_rows_of_an_embedding_table),
        cmocka_unit_test(and_those_that_are_there_from_the_beginning),
        cmocka_unit_test(a_server_that_slept_for_too_long_knows_that_the_run_goes_on),
        cmocka_unit_test(a_server_that_was_cut_off_says_what_it_can_know),
        cmocka_unit_test(two_losses_end_a_run_or_do_not_but_nobody_hangs),
        cmocka_unit_test(a_server_that_does_not_come_back_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
