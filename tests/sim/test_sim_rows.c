/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sim/sim_job.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* Whole jobs whose model has an embedding table, which the parameter servers keep, in simulated
 * time: a seed repeats itself, and synchronous steps are those of one process. */
#define REPLICAS 4

static const char job_text[] =
    "{ \"name\": \"rows\","
    "  \"model\": { \"kind\": \"wide_deep\", \"dimension\": 4, \"widths\": [8] },"
    "  \"data\": { \"kind\": \"clicks\", \"samples\": 640, \"test_samples\": 200,"
    "            \"fields\": \"10,60x3\", \"batch\": 16 },"
    "  \"optimizer\": { \"kind\": \"sgd\", \"learning_rate\": 0.1 },"
    "  \"train\": { \"epochs\": 2, \"seed\": 1 } }";

static char folder[64], path[96];

struct outcome {
    struct mu_test_log log;
    double test_loss, rows, rows_evicted, steps; /* rows_evicted: of ps/0, if it is there */
};

static double number_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void read_summary(struct outcome *outcome, const char *out_dir)
{
    static char text[1 << 16];
    char name[160];
    snprintf(name, sizeof(name), "%s/summary.json", out_dir);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    outcome->test_loss = number_of(text, "\"test_loss\": ");
    outcome->rows = number_of(text, "\"embedding_rows\": ");
    outcome->steps = number_of(text, "\"steps\": ");
    if (strstr(text, "\"ps/0\": "))
        outcome->rows_evicted = number_of(text, "\"rows_evicted\": ");
}

static int run_count;

/* `sets`: three at the most. */
static void simulate(struct outcome *outcome, const char *const *sets, int replicas, int servers)
{
    const char *all[8] = {"checkpoint.every_steps=0"};
    for (int i = 0; i < 3 && sets[i]; i++)
        all[1 + i] = sets[i];
    char out_dir[96];
    snprintf(out_dir, sizeof(out_dir), "%s/%d", folder, run_count++);
    struct mu_log *log = mu_test_log_init(&outcome->log);
    struct mu_job *job = NULL;
    assert_ok(mu_job_load(log, path, all, &job));
    log->level = MU_LEVEL_INFO;
    const struct mu_sim_job simulated = {
        .job = job,
        .replicas = replicas,
        .servers = servers,
        .seed = 3,
        .compute = {.kind = MU_SIM_COMPUTE_LOGNORMAL, .mean_ns = 10 * MU_MS, .sigma = 0.5},
        .link_bits_per_second = 1000000000,
        .link_latency_ns = 50000,
        .out_dir = out_dir,
    };
    enum mu_status status = mu_sim_job_run(&simulated, log);
    if (status != MU_OK)
        fail_msg("%s: %s", sets[0], outcome->log.text);
    mu_job_destroy(job);
    read_summary(outcome, out_dir);
}

static const char *const modes[][4] = {
    {"mode.kind=async", "mode.policy=apply"},
    {"mode.kind=async", "mode.in_flight=3", "optimizer.clip_norm=0.5"},
    {"mode.kind=async", "mode.policy=compensate"},
    {"mode.kind=softsync", "mode.gradients=3", "mode.in_flight=2"},
    {"mode.kind=sync", "mode.workers=3", "mode.backups=1"},
    {"mode.kind=bounded", "mode.bound=1", "mode.policy=scale"},
    /* Nothing is gathered at first. */
    {"mode.kind=async", "mode.schedule=[{\"from_step\": 20, \"kind\": \"softsync\", "
                        "\"gradients\": 4}, {\"from_step\": 25, \"kind\": \"sync\"}]"},
};

static void a_seed_repeats_itself(void **state)
{
    (void)state;
    static struct outcome first, second;
    for (size_t m = 0; m < MU_COUNT_OF(modes); m++) {
        simulate(&first, modes[m], REPLICAS, 2);
        simulate(&second, modes[m], REPLICAS, 2);
        assert_true(first.test_loss == second.test_loss);
        assert_true(first.rows == second.rows && first.rows > 150);
        assert_in_range((int64_t)(first.test_loss * 1000), 300, 690);
    }
}

/* The means of four batches are summed in another order than the samples of one: float32 differs
 * in its last places. */
static void synchronous_steps_are_those_of_one_process(void **state)
{
    (void)state;
    static struct outcome alone, shared;
    static const char *const one[] = {"mode.kind=sync", "data.batch=64", NULL};
    static const char *const four[] = {"mode.kind=sync", "data.batch=16", NULL};
    simulate(&alone, one, 1, 0);
    for (int servers = 1; servers <= 3; servers += 2) {
        simulate(&shared, four, REPLICAS, servers);
        assert_true(shared.steps == alone.steps && shared.steps == 20);
        assert_true(shared.rows == alone.rows);
        if (fabs(shared.test_loss - alone.test_loss) > 1e-5 * alone.test_loss)
            fail_msg("%.9f is not %.9f", shared.test_loss, alone.test_loss);
    }
}

static void rows_beyond_the_limit_leave(void **state)
{
    (void)state;
    static struct outcome outcome;
    static const char *const limited[] = {"mode.kind=async", "mode.row_limit=140", NULL};
    simulate(&outcome, limited, 2, 2);
    assert_true(outcome.rows == 140 && outcome.rows_evicted > 0);
}

static int begin(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/muster-rows-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/job.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(job_text, file);
    fclose(file);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats_itself),
        cmocka_unit_test(synchronous_steps_are_those_of_one_process),
        cmocka_unit_test(rows_beyond_the_limit_leave),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
