/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "roles/checkpoint/go_on.h"
#include "runtime/base/store.h"
#include "sim/sim_job.h"
#include <inttypes.h>

/* Whole jobs in simulated time; one task dies, or does not run for a while, at many points. */
#define TASKS_MAX 6
#define POINTS 40 /* in time at which a fault is tried */
#define KILL INT64_C(0)

static const char *sync_path, *async_path;

/* What a killed task had allocated is lost, as simulate.h says. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static const char *const sets[] = {"data.samples=600", "data.test_samples=50", "data.batch=20",
    "model.widths=[784,16,10]", "train.epochs=2", NULL};
static const char *const sets_saving[] = {"data.samples=600", "data.test_samples=50",
    "data.batch=20", "model.widths=[784,16,10]", "train.epochs=2", "checkpoint.every_steps=3",
    NULL};

/* One task, one time, one fault; and when anything ran at all. */
struct fault {
    int victim;
    int64_t at_ns, pause_ns;
    int64_t stuck_step; /* > 0: the thread that trains does not get on in this step */
    int64_t compute_ns; /* of a step, on average; 0: 10 ms */
    bool done;
    int64_t last_ns;
};

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    struct fault *fault = owner;
    fault->last_ns = now_ns;
    if (task != fault->victim || fault->done || fault->stuck_step > 0 || now_ns < fault->at_ns)
        return 0;
    fault->done = true;
    return fault->pause_ns == KILL ? MU_SIM_KILL : fault->pause_ns;
}

static int64_t stick_ns(void *owner, int task, int64_t step)
{
    struct fault *fault = owner;
    if (task != fault->victim || fault->done || fault->stuck_step == 0 || step != fault->stuck_step)
        return 0;
    fault->done = true;
    return 1000 * MU_SECOND;
}

struct outcome {
    struct mu_test_log log;
    enum mu_status leader, statuses[TASKS_MAX];
    int replicas, servers;
};

static void simulate_with(struct outcome *outcome, const char *path, int replicas, int servers,
    uint64_t seed, struct fault *fault, const char *const *with, struct mu_store *store,
    struct mu_go_on *go_on)
{
    struct mu_log *log = mu_test_log_init(&outcome->log);
    const struct mu_sim_faults faults = {
        .owner = fault, .task_stop_ns = stop_ns, .compute_delay_ns = stick_ns};
    int64_t compute_ns = fault->compute_ns > 0 ? fault->compute_ns : 10 * MU_MS;
    struct mu_job *job = NULL;
    log->level = MU_LEVEL_INFO;
    assert_ok(mu_job_load(log, path, with, &job));
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = outcome->replicas = replicas,
        .servers = outcome->servers = servers,
        .seed = seed,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = compute_ns, .sigma = 0.3},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .faults = &faults,
        .statuses = outcome->statuses,
        .store = store,
        .go_on = go_on,
    };
    if (go_on)
        go_on->job = job;
    outcome->leader = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
}

static void simulate(struct outcome *outcome, const char *path, int replicas, int servers,
    uint64_t seed, struct fault *fault)
{
    simulate_with(outcome, path, replicas, servers, seed, fault, sets, NULL, NULL);
}

/* The names as mu_spec_from_addresses makes them: chief, workers, servers. */
static void name_of(const struct outcome *outcome, int task, char out[MU_TASK_NAME_MAX])
{
    if (task == 0)
        snprintf(out, MU_TASK_NAME_MAX, "chief/0");
    else if (task < outcome->replicas)
        snprintf(out, MU_TASK_NAME_MAX, "worker/%d", task - 1);
    else
        snprintf(out, MU_TASK_NAME_MAX, "ps/%d", task - outcome->replicas);
}

/* The first error that a task has said; "" if none. */
static void error_of(const struct outcome *outcome, int task, char *out, size_t bytes)
{
    char name[MU_TASK_NAME_MAX], begin[64];
    name_of(outcome, task, name);
    snprintf(begin, sizeof(begin), "%s: error[", name);
    const char *at = strstr(outcome->log.text, begin);
    snprintf(out, bytes, "%.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
}

static void expect_blame(const struct outcome *outcome, const struct fault *fault)
{
    char victim[MU_TASK_NAME_MAX], name[MU_TASK_NAME_MAX], said[1024], address[40];
    name_of(outcome, fault->victim, victim);
    snprintf(address, sizeof(address), "%s (10.0.0.%d:2222)", victim, fault->victim + 1);
    for (int i = 0; i < outcome->replicas + outcome->servers; i++) {
        name_of(outcome, i, name);
        if (i == fault->victim)
            continue;
        error_of(outcome, i, said, sizeof(said));
        if (outcome->statuses[i] != MU_UNAVAILABLE || !strstr(said, address))
            fail_msg("%s at %" PRId64 " ns: %s ended with %s and said \"%s\"\n%s", victim,
                fault->at_ns, name, mu_status_name(outcome->statuses[i]), said, outcome->log.text);
    }
}

static int64_t length_of_run(const char *path, int replicas, int servers)
{
    static struct outcome outcome;
    struct fault none = {.victim = -1};
    simulate(&outcome, path, replicas, servers, 1, &none);
    for (int i = 0; i < replicas + servers; i++)
        assert_int_equal(outcome.statuses[i], MU_OK);
    assert_int_equal(outcome.leader, MU_OK);
    assert_true(none.last_ns > 100 * MU_MS);
    return none.last_ns;
}

static void kill_at_many_times(const char *path, int replicas, int servers, int victim)
{
    static struct outcome outcome;
    /* Its last moments aside: there the run is over for some already. */
    int64_t length_ns = length_of_run(path, replicas, servers) * 9 / 10;
    for (int k = 0; k < POINTS; k++) {
        struct fault fault = {.victim = victim, .at_ns = length_ns * k / POINTS + k};
        simulate(&outcome, path, replicas, servers, 1, &fault);
        assert_true(fault.done);
        expect_blame(&outcome, &fault);
    }
}

static void a_dead_worker_of_a_synchronous_run_is_named_by_all(void **state)
{
    (void)state;
    kill_at_many_times(sync_path, 3, 0, 2);
}

static void a_dead_leader_of_a_synchronous_run_is_named_by_all(void **state)
{
    (void)state;
    kill_at_many_times(sync_path, 3, 0, 0);
}

static void a_dead_server_is_named_by_all(void **state)
{
    (void)state;
    kill_at_many_times(async_path, 2, 2, 2);
    kill_at_many_times(async_path, 2, 2, 3);
}

static void a_dead_worker_of_an_asynchronous_run_is_named_by_all(void **state)
{
    (void)state;
    kill_at_many_times(async_path, 2, 2, 1);
}

static void a_dead_leader_of_an_asynchronous_run_is_named_by_all(void **state)
{
    (void)state;
    kill_at_many_times(async_path, 2, 2, 0);
}

static void a_task_that_hangs_is_named_by_all_at_the_deadline(void **state)
{
    (void)state;
    static struct outcome outcome;
    static const struct {
        bool async;
        int replicas, servers, victim;
    } rows[] = {
        {false, 3, 0, 0}, {false, 3, 0, 1}, {true, 2, 2, 0}, {true, 2, 2, 1}, {true, 2, 2, 3}};
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
        for (int k = 1; k < 4; k++) {
            struct fault fault = {
                .victim = rows[row].victim, .at_ns = k * 60 * MU_MS, .pause_ns = 60 * MU_SECOND};
            simulate(&outcome, rows[row].async ? async_path : sync_path, rows[row].replicas,
                rows[row].servers, 1, &fault);
            assert_true(fault.done);
            expect_blame(&outcome, &fault);
            assert_int_equal(outcome.statuses[fault.victim], MU_UNAVAILABLE);
        }
}

/* It has trained for some steps, and the leader cannot know it. */
static void of_a_run_younger_than_its_heartbeats_the_leader_says_how_far_it_is_itself(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct fault fault = {.victim = 2, .at_ns = 60 * MU_MS};
    char said[1024];
    simulate(&outcome, sync_path, 3, 0, 1, &fault);
    expect_blame(&outcome, &fault);
    for (int i = 0; i < 2; i++) {
        error_of(&outcome, i, said, sizeof(said));
        assert_non_null(strstr(said, "; last seen starting, since "));
        assert_non_null(strstr(said, " (no heartbeat has come from it yet; chief/0 is "));
    }
}

/* Checkpoints in memory; looks at them from the fault on are counted. */
struct counting_store {
    struct mu_store store;
    struct mu_store *memory;
    const struct fault *fault;
    int puts, looks;
};

static enum mu_status counting_put(struct mu_store *store, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    struct counting_store *self = (struct counting_store *)store;
    self->puts++;
    return self->memory->ops->put(self->memory, log, number, files, file_count);
}

static size_t counting_list(struct mu_store *store, int64_t *ret_numbers, size_t most)
{
    struct counting_store *self = (struct counting_store *)store;
    self->looks += self->fault->done;
    return self->memory->ops->list(self->memory, ret_numbers, most);
}

static enum mu_status counting_drop(struct mu_store *store, struct mu_log *log, int64_t number)
{
    struct counting_store *self = (struct counting_store *)store;
    return self->memory->ops->drop(self->memory, log, number);
}

static void counting_describe(struct mu_store *store, int64_t number, char *out, size_t bytes)
{
    snprintf(out, bytes, "memory/%" PRId64, number);
}

static const struct mu_store_ops counting_ops = {.name = "counting",
    .put = counting_put,
    .list = counting_list,
    .drop = counting_drop,
    .describe = counting_describe};

/* A disk that hangs would keep the loss from the others, and the leader's thread with it. */
static void all_are_told_of_a_loss_and_how_to_go_on_without_a_look_at_the_store(void **state)
{
    (void)state;
    static struct outcome outcome;
    static const struct {
        const char *const *sets;
        int64_t at_ns;
        const char *said;
    } rows[] = {{sets, 60 * MU_MS, "to begin anew, with every task started again: "},
        {sets_saving, 150 * MU_MS,
            "to go on from the last checkpoint, with every task started again: "}};
    for (size_t row = 0; row < MU_COUNT_OF(rows); row++) {
        struct fault fault = {.victim = 2, .at_ns = rows[row].at_ns};
        struct counting_store store = {.store.ops = &counting_ops, .fault = &fault};
        struct mu_run_request request = {.job_path = "job.json"};
        struct mu_spec elsewhere = {0};
        struct mu_go_on go_on = {
            .request = &request, .spec = &elsewhere, .directory = "runs/a", .begun = true};
        atomic_store(&go_on.saved, MU_SAVED_NOTHING);
        assert_ok(mu_store_memory_open(&store.memory));
        simulate_with(&outcome, sync_path, 3, 0, 1, &fault, rows[row].sets, &store.store, &go_on);
        assert_true(fault.done);
        expect_blame(&outcome, &fault);
        assert_said(&outcome.log, rows[row].said);
        assert_int_equal(store.puts > 0, row == 1);
        assert_int_equal(store.looks, 0);
        store.memory->ops->close(store.memory);
    }
}

/* The number after `words`, or -1. */
static long long number_after(const char *said, const char *words)
{
    const char *at = strstr(said, words);
    return at ? strtoll(at + strlen(words), NULL, 10) : -1;
}

/* Its heartbeats come all the while. `how` is what every other task has to say of it. */
static void stick(const char *path, int replicas, int servers, struct fault fault, const char *how)
{
    static struct outcome outcome;
    fault.stuck_step = 6;
    simulate(&outcome, path, replicas, servers, 1, &fault);
    assert_true(fault.done);
    expect_blame(&outcome, &fault);
    assert_int_equal(outcome.statuses[fault.victim], MU_UNAVAILABLE);
    for (int i = 0; i < replicas + servers; i++) {
        char said[1024];
        error_of(&outcome, i, said, sizeof(said));
        if (!strstr(said, "error[E0402]: ") || !strstr(said, how) ||
            !strstr(said, "; last seen computing step "))
            fail_msg("expected \"%s\" in \"%s\"", how, said);
        /* Who waits for it and who saw it last speak of the same step. */
        long long waited = number_after(said, "all-reduce of step ");
        if (waited >= 0 && waited != number_after(said, "computing step "))
            fail_msg("two steps in \"%s\"", said);
    }
}

static void a_stuck_thread_is_named_by_the_leader_when_its_step_has_taken_too_long(void **state)
{
    (void)state;
    /* The others enter the all-reduce, and so wait, long after it was last seen to begin. */
    for (int victim = 0; victim < 3; victim++)
        stick(sync_path, 3, 0, (struct fault){.victim = victim, .compute_ns = MU_SECOND},
            ") does not get on; ");
    for (int victim = 0; victim < 2; victim++)
        stick(async_path, 2, 2, (struct fault){.victim = victim}, ") does not get on; ");
}

static void a_stuck_thread_is_named_by_who_waits_for_it_in_the_all_reduce(void **state)
{
    (void)state;
    /* They enter it so soon that their deadline passes before the leader looks again. */
    for (int victim = 0; victim < 3; victim++)
        stick(sync_path, 3, 0, (struct fault){.victim = victim, .compute_ns = MU_MS},
            " waited 1m00s: ");
}

static void a_pause_shorter_than_the_deadline_loses_nothing(void **state)
{
    (void)state;
    static struct outcome outcome;
    for (int victim = 0; victim < 4; victim++)
        for (int k = 0; k < 4; k++) {
            struct fault fault = {
                .victim = victim, .at_ns = k * 50 * MU_MS, .pause_ns = 4500 * MU_MS};
            bool async = k % 2 == 1;
            simulate(
                &outcome, async ? async_path : sync_path, async ? 2 : 4, async ? 2 : 0, 1, &fault);
            assert_true(fault.done);
            for (int i = 0; i < 4; i++)
                if (outcome.statuses[i] != MU_OK)
                    fail_msg("task %d paused at %" PRId64 ":\n%s", victim, fault.at_ns,
                        outcome.log.text);
            assert_said(&outcome.log, "1200 samples");
        }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 1;
    sync_path = argv[1];
    async_path = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_worker_of_a_synchronous_run_is_named_by_all),
        cmocka_unit_test(a_dead_leader_of_a_synchronous_run_is_named_by_all),
        cmocka_unit_test(a_dead_server_is_named_by_all),
        cmocka_unit_test(a_dead_worker_of_an_asynchronous_run_is_named_by_all),
        cmocka_unit_test(a_dead_leader_of_an_asynchronous_run_is_named_by_all),
        cmocka_unit_test(a_task_that_hangs_is_named_by_all_at_the_deadline),
        cmocka_unit_test(of_a_run_younger_than_its_heartbeats_the_leader_says_how_far_it_is_itself),
        cmocka_unit_test(all_are_told_of_a_loss_and_how_to_go_on_without_a_look_at_the_store),
        cmocka_unit_test(a_stuck_thread_is_named_by_the_leader_when_its_step_has_taken_too_long),
        cmocka_unit_test(a_stuck_thread_is_named_by_who_waits_for_it_in_the_all_reduce),
        cmocka_unit_test(a_pause_shorter_than_the_deadline_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
