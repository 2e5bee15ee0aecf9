/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "roles/checkpoint/manifest.h"
#include "sim/sim_job.h"
#include <inttypes.h>
#include <stdlib.h>

/* An asynchronous job in simulated time, one of whose workers is so slow that the others are
 * hundreds of epochs ahead of it. */
#define REPLICAS_MAX 4
#define EPOCHS 300
#define SAMPLES 40
#define STEPS (EPOCHS * SAMPLES / 10) /* of both together */
#define EVERY 50
#define SAVED_MAX 200

/* What a killed task had allocated is lost, as simulate.h says. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* Two batches an epoch of each replica, where there are two. */
static const char text[] =
    "{ \"name\": \"apart\", \"mode\": { \"kind\": \"async\" },"
    "  \"model\": { \"kind\": \"mlp\", \"widths\": [784, 4, 10] },"
    "  \"data\": { \"kind\": \"glyphs\", \"samples\": 40, \"test_samples\": 10, \"batch\": 10 },"
    "  \"optimizer\": { \"kind\": \"momentum\", \"learning_rate\": 0.05 },"
    "  \"train\": { \"epochs\": 300, \"seed\": 1 },"
    "  \"checkpoint\": { \"every_steps\": 50, \"keep\": 200 } }";

/* Replica 1 is the slow one; the server dies when it has begun this step. */
struct slow {
    int64_t dies_at_step; /* 0: it does not */
    int server;
    bool dies;
};

static int64_t slow_ns(void *owner, int task, int64_t step)
{
    struct slow *slow = owner;
    if (task != 1)
        return 0;
    slow->dies |= slow->dies_at_step > 0 && step >= slow->dies_at_step;
    return 490 * MU_MS;
}

static int64_t stop_ns(void *owner, int task, int64_t now_ns)
{
    const struct slow *slow = owner;
    (void)now_ns;
    return slow->dies && task == slow->server ? MU_SIM_KILL : 0;
}

struct outcome {
    struct mu_test_log log;
    enum mu_status leader, statuses[REPLICAS_MAX + 1];
};

static void simulate(struct outcome *outcome, struct mu_store *store, int replicas, bool resume,
    int64_t dies_at_step)
{
    struct slow slow = {.dies_at_step = dies_at_step, .server = replicas};
    struct mu_log *log = mu_test_log_init(&outcome->log);
    const struct mu_sim_faults faults = {
        .owner = &slow, .task_stop_ns = stop_ns, .compute_delay_ns = slow_ns};
    struct mu_job *job = NULL;
    log->level = MU_LEVEL_INFO;
    assert_ok(mu_job_parse(log, "test", text, strlen(text), &job));
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = replicas,
        .servers = 1,
        .seed = 1,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = 0.3},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .faults = &faults,
        .store = store,
        .resume = resume,
        .statuses = outcome->statuses,
    };
    outcome->leader = mu_sim_job_run(&simulated, log);
    mu_job_destroy(job);
}

/* How far the replicas of a checkpoint are apart, in epochs. */
static int64_t read_distance(struct mu_store *store, int64_t number)
{
    struct mu_test_log said;
    struct mu_log *log = mu_test_log_init(&said);
    struct mu_manifest manifest;
    void *data;
    size_t bytes;
    int64_t most = 0;
    assert_ok(store->ops->get(store, log, number, MU_MANIFEST_NAME, 1 << 20, &data, &bytes));
    assert_ok(mu_manifest_parse(log, "test", data, bytes, &manifest));
    assert_in_range(manifest.position_count, 0, 2);
    for (int i = 0; i < manifest.position_count; i++) {
        const struct mu_stretch *stretch = &manifest.positions[i].stretch;
        for (int r = 0; stretch->epochs && r < stretch->replica_count; r++)
            if (stretch->epochs[r] - manifest.epoch > most)
                most = stretch->epochs[r] - manifest.epoch;
    }
    mu_manifest_finish(&manifest);
    free(data);
    return most;
}

/* One at every interval up to this step; returns the longest distance. */
static int64_t expect_all_saved(struct mu_store *store, int64_t until, int64_t *ret_newest)
{
    int64_t numbers[SAVED_MAX], before = 0, most = 0;
    size_t count = store->ops->list(store, numbers, SAVED_MAX);
    assert_in_range(count, 1, SAVED_MAX);
    for (size_t i = 0; i < count; before = numbers[i], i++) {
        if (numbers[i] - before > EVERY + REPLICAS_MAX && before < until)
            fail_msg("no checkpoint between %" PRId64 " and %" PRId64, before, numbers[i]);
        int64_t distance = read_distance(store, numbers[i]);
        most = distance > most ? distance : most;
    }
    *ret_newest = before;
    return most;
}

static void a_slow_worker_keeps_no_checkpoint_from_being_saved(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct mu_store *store;
    int64_t newest;
    assert_ok(mu_store_memory_open(&store));
    simulate(&outcome, store, 2, false, 0);
    assert_ok(outcome.leader);
    /* The leader saves as long as it trains: that is half of the steps. */
    assert_in_range(expect_all_saved(store, STEPS / 2, &newest), 200, EPOCHS);
    assert_int_equal(newest, STEPS);
    assert_said(&outcome.log, " steps, 12000 samples");
    store->ops->close(store);
}

/* The server is lost when the slow worker is some 100 epochs behind, or 275: every sample is read
 * once an epoch, by any number of replicas. */
static void what_resumes_from_replicas_far_apart_reads_what_is_left(void **state)
{
    (void)state;
    static struct outcome outcome;
    static const int64_t steps[] = {4, 11};
    for (size_t i = 0; i < MU_COUNT_OF(steps); i++)
        for (int replicas = 1; replicas <= REPLICAS_MAX; replicas++) {
            struct mu_store *store;
            int64_t newest;
            assert_ok(mu_store_memory_open(&store));
            simulate(&outcome, store, 2, false, steps[i]);
            assert_int_equal(outcome.leader, MU_UNAVAILABLE);
            assert_in_range(expect_all_saved(store, STEPS, &newest), 65, EPOCHS);
            simulate(&outcome, store, replicas, true, 0);
            assert_ok(outcome.leader);
            assert_said(&outcome.log, " steps, 12000 samples");
            store->ops->close(store);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_worker_keeps_no_checkpoint_from_being_saved),
        cmocka_unit_test(what_resumes_from_replicas_far_apart_reads_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
