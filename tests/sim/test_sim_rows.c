/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_rig.h"
#include <math.h>

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

static void read_summary(struct outcome *outcome)
{
    static char text[1 << 16];
    char name[SIM_RIG_NAME_MAX];
    sim_rig_file(name, "summary.json");
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

/* `sets`: three at the most. */
static void simulate(struct outcome *outcome, const char *const *sets, int replicas, int servers)
{
    const char *all[8] = {"checkpoint.every_steps=0"};
    for (int i = 0; i < 3 && sets[i]; i++)
        all[1 + i] = sets[i];
    const struct sim_rig_run run = {
        .sets = all, .replicas = replicas, .servers = servers, .seed = 3, .sigma = 0.5};
    if (sim_rig_run(&run, &outcome->log) != MU_OK)
        fail_msg("%s: %s", sets[0], outcome->log.text);
    read_summary(outcome);
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
    sim_rig_begin(job_text);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sim_rig_end();
    return 0;
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
