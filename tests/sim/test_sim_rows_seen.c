/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_rig.h"

#include "ps/audit_read.h"
#include "roles/audit/audit_replay.h"
#include <unistd.h>

/* Whole jobs whose late embedding rows are corrected, with an audit log: replayed, they come to the
 * parameters and rows of the run, whoever was lost. */
#define REPLICAS 3
#define IN_FLIGHT_MAX 3

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0"; /* of killed tasks, as simulate.h says */
}

static const char job_text[] =
    "{ \"name\": \"rows\","
    "  \"model\": { \"kind\": \"wide_deep\", \"dimension\": 4, \"widths\": [8] },"
    "  \"data\": { \"kind\": \"clicks\", \"samples\": 640, \"test_samples\": 100,"
    "            \"fields\": \"10,60x3\", \"batch\": 16 },"
    "  \"mode\": { \"kind\": \"async\", \"policy\": \"compensate\", \"audit\": true },"
    "  \"optimizer\": { \"kind\": \"adagrad\", \"learning_rate\": 0.05 },"
    "  \"train\": { \"epochs\": 2, \"seed\": 1 } }";

static struct mu_test_log run_log;

#define SETS_MAX 5
struct way {
    const char *sets[SETS_MAX];
    int servers;
};

static const struct way ways[] = {
    {{"mode.in_flight=2"}, 2},
    {{"mode.in_flight=3", "mode.rows=dense"}, 1},
    {{"mode.in_flight=1", "mode.adaptive=false", "mode.lambda=0.5", "optimizer.kind=sgd"}, 2},
    {{"mode.in_flight=2", "mode.adaptive=false", "mode.rows=dense", "optimizer.clip_norm=0.5"}, 2},
    {{"mode.kind=bounded", "mode.bound=2"}, 1},
    {{"mode.in_flight=2", "mode.row_limit=130"}, 2},
    {{"mode.policy=apply", "mode.schedule=[{\"from_step\": 20, \"policy\": \"compensate\"}, "
                           "{\"from_step\": 40, \"kind\": \"softsync\", \"policy\": \"apply\", "
                           "\"gradients\": 2}, {\"from_step\": 50, \"kind\": \"async\", "
                           "\"policy\": \"compensate\", \"adaptive\": false}]"},
        2},
    {{"mode.in_flight=2", "mode.replicas=1"}, 2},
};

/* ---- runs ---- */

static struct sim_rig_fault *fault;

static enum mu_status run_job(const struct way *way, const char *more, bool resume)
{
    const char *sets[SETS_MAX + 2] = {NULL};
    int count = 0;
    for (; count < SETS_MAX && way->sets[count]; count++)
        sets[count] = way->sets[count];
    sets[count] = more;
    const struct sim_rig_run run = {.sets = sets,
        .replicas = REPLICAS,
        .servers = way->servers,
        .seed = 3,
        .sigma = 0.8,
        .resume = resume,
        .fault = fault};
    return sim_rig_run(&run, &run_log);
}

static void simulate(const struct way *way, const char *more, bool resume)
{
    if (run_job(way, more, resume) != MU_OK)
        fail_msg("%s: %s", way->sets[0], run_log.text);
}

static void expect_replay(const struct way *way, struct mu_audit_replayed *ret_replayed)
{
    static struct mu_test_log test_log;
    char out_dir[SIM_RIG_NAME_MAX];
    sim_rig_file(out_dir, "");
    if (mu_audit_replay(mu_test_log_init(&test_log), out_dir, -1, ret_replayed) != MU_OK)
        fail_msg("%s: %s", way->sets[0], test_log.text);
    assert_int_equal(ret_replayed->parameters_crc32c, sim_rig_crc_of_summary());
    assert_int_not_equal(ret_replayed->verdicts[MU_VERDICT_CORRECT], 0);
}

static void name_log(char out[SIM_RIG_NAME_MAX], int server)
{
    char log_name[32];
    snprintf(log_name, sizeof(log_name), "audit/ps-%d.log", server);
    sim_rig_file(out, log_name);
}

/* Of the records of one server that say `correct`: those whose rows were corrected, and others. */
static void count_corrected(int server, int *ret_rows, int *ret_others)
{
    static struct mu_test_log test_log;
    struct mu_audit_reader reader;
    struct mu_audit_record record;
    char name[SIM_RIG_NAME_MAX];
    name_log(name, server);
    assert_ok(mu_audit_reader_open(&reader, mu_test_log_init(&test_log), name));
    *ret_rows = *ret_others = 0;
    do {
        assert_ok(mu_audit_reader_next(&reader, &record));
        bool corrects = record.kind == MU_AUDIT_GRADIENT && record.verdict == MU_VERDICT_CORRECT;
        assert_true(corrects || !record.corrects_rows);
        *ret_rows += corrects && record.corrects_rows;
        *ret_others += corrects && !record.corrects_rows;
    } while (record.kind != MU_AUDIT_END);
    mu_audit_reader_close(&reader);
}

/* ---- the claims ---- */

static void a_replay_comes_to_the_rows_of_the_run(void **state)
{
    (void)state;
    struct mu_audit_replayed replayed;
    for (size_t i = 0; i < MU_COUNT_OF(ways); i++) {
        simulate(&ways[i], NULL, false);
        expect_replay(&ways[i], &replayed);
        assert_true(replayed.embedding_rows > 100);
        for (int server = 0; server < ways[i].servers; server++) {
            int rows, others;
            count_corrected(server, &rows, &others);
            /* What a replica looked up before its first answers is of a later version. */
            assert_in_range(others, 0, REPLICAS * IN_FLIGHT_MAX);
            assert_true(rows > 20);
        }
    }
}

/* Of a gradient with few rows a server may have none, or have seen only its own. */
static void a_replay_knows_which_servers_corrected_rows(void **state)
{
    (void)state;
    static const struct way few = {{"mode.in_flight=2", "data.batch=1", "train.steps=200"}, 4};
    struct mu_audit_replayed replayed;
    simulate(&few, NULL, false);
    expect_replay(&few, &replayed);
    for (int server = 0; server < few.servers; server++) {
        int rows, others;
        count_corrected(server, &rows, &others);
        assert_true(rows > 20 && others > 20);
    }
}

/* What is no gradient is not pushed, so nothing brings the rows of a later batch: they are looked
 * up, in a version that no record has. */
static void a_replay_knows_which_rows_were_looked_up_again(void **state)
{
    (void)state;
    static const struct way diverging = {
        {"mode.in_flight=1", "optimizer.kind=sgd", "optimizer.learning_rate=2",
            "train.bad_steps_max=1000", "train.epochs=6"},
        2};
    struct mu_audit_replayed replayed;
    int rows, others;
    simulate(&diverging, NULL, false);
    assert_said(&run_log, "is not pushed");
    expect_replay(&diverging, &replayed);
    count_corrected(0, &rows, &others);
    assert_true(rows > 10);
    assert_true(others > 0);
}

/* As bits of rows they are the same, wherever and whenever these begin. */
static void dense_and_touched_rows_are_corrected_alike(void **state)
{
    (void)state;
    static const struct way touch = {{"mode.in_flight=2"}, 2},
                            dense = {{"mode.in_flight=2", "mode.rows=dense"}, 2};
    struct mu_audit_replayed one, other;
    simulate(&touch, NULL, false);
    expect_replay(&touch, &one);
    simulate(&dense, NULL, false);
    expect_replay(&dense, &other);
    assert_int_equal(one.last.row_sum, other.last.row_sum);
    assert_int_equal(one.last.row_count, other.last.row_count);
    assert_true(other.embedding_rows > one.last.row_count);
}

/* As the servers say it at the start. */
static double megabytes_kept(const struct way *way)
{
    static const char before[] = "policy `compensate` keeps ";
    simulate(way, "train.steps=4", false);
    assert_said(&run_log, before);
    return strtod(strstr(run_log.text, before) + strlen(before), NULL);
}

static void the_memory_for_it_is_said_with_that_of_a_standby(void **state)
{
    (void)state;
    static const struct way alone = {{"mode.in_flight=3", "model.widths=[9999]"}, 2},
                            twice = {
                                {"mode.in_flight=3", "model.widths=[9999]", "mode.replicas=1"}, 2};
    double megabytes = megabytes_kept(&alone);
    assert_true(megabytes > 1);
    assert_float_equal(megabytes_kept(&twice) / megabytes, 2, 0.1);
}

static void the_mean_begins_anew_with_a_resumed_run(void **state)
{
    (void)state;
    struct mu_audit_replayed replayed;
    simulate(&ways[0], "train.steps=40", false);
    simulate(&ways[0], "train.steps=70", true);
    expect_replay(&ways[0], &replayed);
    assert_int_equal(replayed.earlier_count, 1);
    assert_int_equal(replayed.version_earliest, 0);
}

static void a_standby_has_corrected_the_same(void **state)
{
    (void)state;
    struct mu_audit_replayed own, other;
    const struct way *way = &ways[MU_COUNT_OF(ways) - 1];
    simulate(way, NULL, false);
    expect_replay(way, &own);
    for (int i = 0; i < way->servers; i++) {
        char name[SIM_RIG_NAME_MAX];
        name_log(name, i);
        assert_int_equal(unlink(name), 0);
    }
    expect_replay(way, &other);
    assert_true(other.standby[0] && other.standby[1] && !own.standby[0]);
    assert_int_equal(other.last.row_sum, own.last.row_sum);
}

#define POINTS 8

static void a_lost_server_leaves_its_standby_what_workers_have_seen(void **state)
{
    (void)state;
    const struct way *way = &ways[MU_COUNT_OF(ways) - 1];
    struct sim_rig_fault none = {.at_ns = INT64_MAX};
    int lost_count = 0;
    fault = &none;
    simulate(way, NULL, false);
    fault = NULL;
    for (int server = 0; server < way->servers; server++)
        for (int k = 1; k < POINTS; k++) {
            struct sim_rig_fault lost = {.server = server, .at_ns = none.last_ns * k / POINTS};
            struct mu_audit_replayed replayed;
            fault = &lost;
            enum mu_status status = run_job(way, NULL, false);
            fault = NULL;
            if (!strstr(run_log.text, "; the run goes on without it"))
                continue;
            if (status != MU_OK)
                fail_msg("ps/%d lost at %lld: %s", server, (long long)lost.at_ns, run_log.text);
            expect_replay(way, &replayed);
            assert_true(replayed.standby[server]);
            lost_count++;
        }
    assert_true(lost_count >= POINTS);
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
        cmocka_unit_test(a_replay_comes_to_the_rows_of_the_run),
        cmocka_unit_test(a_replay_knows_which_servers_corrected_rows),
        cmocka_unit_test(a_replay_knows_which_rows_were_looked_up_again),
        cmocka_unit_test(dense_and_touched_rows_are_corrected_alike),
        cmocka_unit_test(the_memory_for_it_is_said_with_that_of_a_standby),
        cmocka_unit_test(the_mean_begins_anew_with_a_resumed_run),
        cmocka_unit_test(a_standby_has_corrected_the_same),
        cmocka_unit_test(a_lost_server_leaves_its_standby_what_workers_have_seen),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
