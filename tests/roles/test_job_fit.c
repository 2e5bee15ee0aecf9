/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_table.h"
#include "tests/roles/job_case.h"

/* What a job makes of a cluster: modes, schedules, algorithms and tables that fit it, or do not. */

#define SCHEDULE(entry) "\"schedule\": [{\"from_step\": 9, " entry "}]"

/* What a job and a cluster of `replicas` and `servers` make of each other. */
struct fitting {
    const char *mode;
    int replicas, servers;
    const char *said[2]; /* the first NULL: it fits */
};

typedef enum mu_status fit_function(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count);

static void check_fits(fit_function *fits, const struct fitting *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(text, sizeof(text), "{" MODEL ", \"mode\": {%s}}", rows[i].mode);
        assert_ok(load(&log, text, NULL, &job));
        enum mu_status status = fits(&log.log, job, rows[i].replicas, rows[i].servers);
        if (status != (rows[i].said[0] ? MU_CONFIG : MU_OK))
            fail_msg("%s: %d %s", rows[i].mode, (int)status, log.text);
        for (int j = 0; j < 2 && rows[i].said[j]; j++)
            assert_said(&log, rows[i].said[j]);
        mu_job_destroy(job);
    }
}

static void a_mode_that_cannot_be_says_what_would_do(void **state)
{
    static const struct fitting rows[] = {
        {"\"kind\": \"sync\"", 4, 0, {NULL}},
        {"\"kind\": \"async\"", 2, 64, {NULL}},
        {"\"kind\": \"async\"", 2, 65,
            {"E0204", "65 parameter servers are more than the 64 allowed"}},
        {"\"kind\": \"sync\"", 1025, 0, {"E0204", "1025 replicas are more than the 1024 allowed"}},
        {"\"kind\": \"sync\", \"workers\": 3, \"backups\": 1", 4, 1, {NULL}},
        {"\"kind\": \"sync\", \"backups\": 3", 4, 1, {NULL}},
        {"\"kind\": \"sync\", \"workers\": 2", 4, 1, {NULL}},
        {"\"kind\": \"softsync\", \"gradients\": 9, \"policy\": \"drop\"", 2, 1, {NULL}},
        {"\"kind\": \"bounded\", \"bound\": 0, \"policy\": \"compensate\"", 2, 1, {NULL}},
        {"\"kind\": \"async\", \"policy\": \"compensate\", \"in_flight\": 3", 2, 1, {NULL}},
        {"\"kind\": \"async\"", 4, 0, {"mode `async` needs a parameter server", "add a param"}},
        {"\"kind\": \"softsync\"", 4, 0, {"mode `softsync` needs a parameter server"}},
        {"\"kind\": \"bounded\"", 4, 0, {"mode `bounded` needs a parameter server"}},
        {"\"kind\": \"sync\", \"workers\": 3", 4, 0,
            {"mode `sync` with mode.workers or mode.backups needs", "by all-reduce"}},
        {"\"kind\": \"sync\", \"workers\": 4, \"backups\": 1", 4, 1,
            {"4 workers and 1 backup needs 5 replicas; the cluster has 4", "add workers"}},
        {"\"kind\": \"sync\", \"backups\": 4", 4, 1, {"needs 5 replicas"}},
        {"\"kind\": \"async\", \"backups\": 1", 4, 1, {"are for mode `sync`"}},
        {"\"kind\": \"async\", \"row_limit\": 100", 4, 1,
            {"mode.row_limit is for embedding rows, and model `mlp` has none", "leave it out"}},
        {"\"kind\": \"async\", \"rows\": \"dense\"", 4, 1, {"mode.rows is for embedding rows"}},
        {"\"kind\": \"sync\", \"row_split\": \"range\"", 4, 0, {"mode.row_split is for embedding"}},
        {"\"kind\": \"async\", \"gradients\": 5", 4, 1,
            {"mode.gradients is for mode `softsync`: it is 5", "or leave it out"}},
        {"\"kind\": \"sync\", \"gradients\": 5", 4, 0, {"mode.gradients is for mode `softsync`"}},
        {"\"kind\": \"async\", \"gradients\": 5, " SCHEDULE("\"kind\": \"softsync\""), 4, 1,
            {NULL}},
        {"\"kind\": \"sync\", \"workers\": 2, \"policy\": \"compensate\"", 4, 1,
            {"mode.policy `compensate` is for stale gradients", "leave out mode.policy"}},
        {"\"kind\": \"sync\", \"policy\": \"scale\"", 4, 0, {"mode.policy `scale` is for stale"}},
        {"\"kind\": \"bounded\", \"policy\": \"drop\"", 4, 1, {"drops nothing"}},
        {"\"kind\": \"softsync\", \"policy\": \"compensate\"", 4, 1, {"averages them"}},
        {"\"kind\": \"bounded\", \"in_flight\": 2", 4, 1, {"mode.in_flight must be 1, not 2"}},
        {"\"kind\": \"sync\", \"workers\": 2, \"in_flight\": 2", 4, 1, {"must be 1, not 2"}},
        {"\"kind\": \"sync\", \"warmup_steps\": 2", 4, 0, {"mode.warmup_steps is for"}},
        {"\"kind\": \"sync\", \"warmup_epochs\": 2", 4, 0, {"mode.warmup_epochs is for"}},
        {"\"kind\": \"async\", \"warmup_epochs\": 2, \"warmup_steps\": 2", 4, 1,
            {"say the same in two ways", "leave out one"}},
        {"\"kind\": \"sync\", \"backups\": \"auto\"", 4, 1, {NULL}},
        {"\"kind\": \"bounded\", \"bound\": \"auto\"", 4, 1, {NULL}},
        {"\"kind\": \"sync\", \"backups\": \"auto\"", 4, 0, {"needs a parameter server"}},
        {"\"kind\": \"async\", \"backups\": \"auto\"", 4, 1, {"are for mode `sync`"}},
        {"\"kind\": \"sync\", \"backups\": \"auto\", \"workers\": 2", 4, 1,
            {"mode.workers is 2", "leave out mode.workers"}},
        {"\"kind\": \"async\", \"policy\": \"drop\", \"bound\": \"auto\"", 4, 1,
            {"mode.bound `auto` is for mode `bounded`", "mode.bound=16"}},
        {"\"kind\": \"sync\", " SCHEDULE("\"kind\": \"async\""), 4, 1, {NULL}},
        {"\"kind\": \"sync\", " SCHEDULE("\"kind\": \"async\""), 4, 0,
            {"mode.schedule needs a parameter server", "leave out mode.schedule"}},
        {"\"kind\": \"async\", " SCHEDULE("\"kind\": \"sync\", \"backups\": 2"), 1, 0,
            {"mode.schedule needs a parameter server", "leave out mode.schedule"}},
        {"\"kind\": \"async\", " SCHEDULE("\"kind\": \"sync\", \"workers\": 5"), 4, 1,
            {"5 workers and 0 backups needs 5 replicas; the cluster has 4", "muster-job-"}},
        {"\"kind\": \"async\", " SCHEDULE("\"backups\": 1"), 4, 1, {"are for mode `sync`"}},
        {"\"kind\": \"async\", \"policy\": \"scale\", " SCHEDULE("\"kind\": \"sync\""), 4, 1,
            {"is for stale gradients", "say \"policy\": \"apply\" in this entry"}},
        {"\"kind\": \"async\", \"in_flight\": 2, " SCHEDULE("\"kind\": \"bounded\""), 4, 1,
            {"mode.in_flight must be 1, not 2"}},
    };
    check_fits(mu_job_fit, rows, MU_COUNT_OF(rows));
}

/* An entry of the schedule has the bound of before it. */
static void a_bound_that_is_chosen_is_for_a_mode_that_bounds(void **state)
{
    static const struct fitting rows[] = {
        {"\"kind\": \"async\", \"bound\": \"auto\"", 4, 1,
            {"mode.bound `auto` is for mode `bounded`, and the mode is `async`",
                "mode.kind=bounded, or leave out mode.bound"}},
        {"\"kind\": \"softsync\", \"bound\": \"auto\"", 4, 1, {"the mode is `softsync`"}},
        {"\"kind\": \"sync\", \"bound\": \"auto\"", 4, 0, {"the mode is `sync`"}},
        {"\"kind\": \"async\", \"schedule\": [{\"from_step\": 9, \"bound\": \"auto\"}]", 4, 1,
            {"mode.bound `auto` is for mode `bounded`"}},
        {"\"kind\": \"bounded\", \"bound\": \"auto\", "
         "\"schedule\": [{\"from_step\": 9, \"kind\": \"async\"}]",
            4, 1, {NULL}},
        {"\"kind\": \"async\", \"bound\": \"auto\", "
         "\"schedule\": [{\"from_step\": 9, \"kind\": \"bounded\"}]",
            4, 1, {NULL}},
    };
    check_fits(mu_job_fit, rows, MU_COUNT_OF(rows));
}

static void steps_are_counted_as_the_mode_makes_them(void **state)
{
    static const struct {
        const char *mode;
        int64_t gradients, steps, taken;
    } rows[] = {
        {"\"kind\": \"async\"", 10, 10, 10},
        {"\"kind\": \"bounded\"", 10, 10, 10},
        {"\"kind\": \"softsync\", \"gradients\": 4", 10, 3, 12},
        {"\"kind\": \"softsync\", \"gradients\": 4, \"warmup_steps\": 2", 10, 4, 10},
        {"\"kind\": \"softsync\", \"gradients\": 4, \"warmup_steps\": 20", 10, 10, 10},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(text, sizeof(text), "{" MODEL ", \"mode\": {%s}}", rows[i].mode);
        assert_ok(load(&log, text, NULL, &job));
        struct mu_ps_plan plan = mu_job_ps_plan(job, 4, 100);
        assert_int_equal(mu_ps_plan_versions(&plan, rows[i].gradients), rows[i].steps);
        assert_int_equal(mu_ps_plan_gradients(&plan, rows[i].steps), rows[i].taken);
        mu_job_destroy(job);
    }
}

static void a_schedule_changes_what_it_says_and_keeps_the_rest(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    assert_ok(load(&log,
        "{" MODEL ", \"data\": {\"batch\": 10}, \"mode\": {\"kind\": \"sync\", \"backups\": 1,"
        "\"warmup_epochs\": 1, \"schedule\": ["
        "{\"from_epoch\": 2, \"kind\": \"bounded\", \"bound\": 3, \"policy\": \"scale\","
        " \"power\": 2}, {\"from_epoch\": 3, \"bound\": 5},"
        "{\"from_epoch\": 4, \"kind\": \"softsync\", \"gradients\": 8}]}}",
        NULL, &job));
    struct mu_ps_plan plan = mu_job_ps_plan(job, 4, 400);
    assert_int_equal(plan.phase_count, 4);
    /* 40 steps of one replica, then 10 of four, then each gradient of them. */
    static const int64_t from[] = {0, 50, 90, 130};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(plan.phase[i].from, from[i]);
        assert_int_equal(plan.phase[i].mode.warmup_steps, 40);
    }
    assert_int_equal(plan.phase[0].mode.workers, 3);
    assert_int_equal(plan.phase[1].mode.kind, MU_PS_BOUNDED);
    assert_int_equal(plan.phase[2].mode.kind, MU_PS_BOUNDED);
    assert_int_equal(plan.phase[1].mode.bound, 3);
    assert_int_equal(plan.phase[2].mode.bound, 5);
    assert_int_equal(plan.phase[3].mode.gradients, 8);
    struct mu_push_facts late = {.staleness = 4};
    for (int i = 1; i < 4; i++) {
        const struct mu_ps_phase *phase = &plan.phase[i];
        assert_float_equal(phase->policy->judge(phase->policy_options, &late).scale, 1.0 / 16, 0);
    }
    mu_job_destroy(job);
}

static void a_schedule_that_cannot_be_says_where(void **state)
{
    static const struct {
        const char *schedule, *said[2];
    } rows[] = {
        {"{}", {"`mode.schedule` is an object"}},
        {"[3]", {"`mode.schedule[0]` is an integer"}},
        {"[{\"kind\": \"async\"}]", {"needs one of from_step and from_epoch"}},
        {"[{\"from_step\": 1, \"from_epoch\": 1}]", {"needs one of from_step and from_epoch"}},
        {"[{\"from_step\": 5}, {\"from_step\": 5}]", {"from_step` is 5", "sort the entries"}},
        {"[{\"from_step\": 5}, {\"from_epoch\": 7}]", {"`mode.schedule[1]` has from_epoch"}},
        {"[{\"from_step\": 5, \"knid\": \"async\"}]",
            {"unknown key `mode.schedule[0].knid`", "did you mean `kind`?"}},
        {"[{\"from_step\": 5, \"kind\": \"asinc\"}]", {"did you mean `async`?"}},
        {"[{\"from_step\": 5, \"policy\": \"drip\"}]", {"unknown", "did you mean `drop`?"}},
        {"[{\"from_step\": 5, \"policy\": \"drop\", \"power\": 2}]",
            {"unknown key `mode.schedule[0].power`"}},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(
            text, sizeof(text), "{" MODEL ",\n \"mode\": {\"schedule\": %s}}", rows[i].schedule);
        assert_int_equal(load(&log, text, NULL, &job), MU_CONFIG);
        assert_said(&log, ":2:"); /* the place */
        for (int j = 0; j < 2 && rows[i].said[j]; j++)
            assert_said(&log, rows[i].said[j]);
    }
}

/* Also on several hosts, where what else it needs is not known before. */
static void an_algorithm_that_adds_nothing_is_refused_wherever_it_runs(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    (void)state;
    assert_ok(load(&log, whole, (const char *[]){"mode.algorithm=pairwise", NULL}, &job));
    assert_int_equal(mu_job_fit(&log.log, job, 3, 0), MU_CONFIG);
    assert_said(&log, "`pairwise` cannot add gradients: it does other operations; direct, ring");
    assert_ok(mu_job_fit(&log.log, job, 1, 0));
    mu_job_destroy(job);
    assert_ok(load(&log, whole, (const char *[]){"mode.algorithm=hierarchical", NULL}, &job));
    assert_ok(mu_job_fit(&log.log, job, 3, 0));
    mu_job_destroy(job);
}

/* What every replica would find out by itself is found out before any is started. */
static void an_algorithm_that_cannot_add_on_one_host_is_refused(void **state)
{
    static const struct {
        const char *set[3];
        int replicas;
        const char *said; /* NULL: it can */
    } rows[] = {
        {{"mode.algorithm=ring"}, 3, NULL},
        {{"mode.algorithm=direct"}, 3, NULL},
        {{"mode.algorithm=tree"}, 1, NULL},
        {{"mode.algorithm=tree"}, 3,
            "`tree` cannot add the gradients of replicas on one host: it "
            "does not keep the order of rounding; direct, ring,"},
        {{"mode.algorithm=tree", "mode.deterministic=false"}, 3, NULL},
        {{"mode.algorithm=direct", "mode.transport=tcp"}, 3, "it needs shared memory with all"},
        {{"mode.algorithm=tree"}, 3, "or set mode.deterministic=false"},
        {{"mode.algorithm=mpi"}, 3, "help: leave out mode.algorithm, or choose one that can\n"},
        {{"mode.algorithm=mpi", "mode.deterministic=false"}, 3, "`mpi` cannot add"},
        {{"mode.algorithm=pairwise"}, 3, "it does other operations; "},
        {{"mode.algorithm=hierarchical", "mode.deterministic=false"}, 3, "it needs several hosts"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        assert_ok(load(&log, whole, rows[i].set, &job));
        enum mu_status status = mu_job_fit_local(&log.log, job, rows[i].replicas, 0);
        if ((status == MU_CONFIG) != (rows[i].said != NULL))
            fail_msg("%s: %d %s", rows[i].set[0], (int)status, log.text);
        if (rows[i].said)
            assert_said(&log, rows[i].said);
        mu_job_destroy(job);
    }
}

/* Clicks have as many ids a sample as there are fields: 3 here, and 20 samples a batch. */
static void a_table_without_room_for_a_step_is_refused(void **state)
{
    static const struct {
        const char *mode;
        int replicas, servers;
        const char *said; /* NULL: it fits */
    } rows[] = {
        {"\"kind\": \"async\", \"row_limit\": 60", 1, 0, NULL},
        {"\"kind\": \"async\", \"row_limit\": 59", 1, 0,
            "the replica keeps 59 embedding rows; one step may touch 60"},
        {"\"kind\": \"async\", \"row_limit\": 119", 3, 2, NULL},
        {"\"kind\": \"async\", \"row_limit\": 118", 3, 2,
            "each parameter server keeps 59 embedding rows; one step may touch 60"},
        {"\"kind\": \"softsync\", \"gradients\": 4, \"row_limit\": 240", 3, 1, NULL},
        {"\"kind\": \"softsync\", \"gradients\": 4, \"row_limit\": 239", 3, 1,
            "each parameter server keeps 239 embedding rows; one step may touch 240"},
        {"\"kind\": \"sync\", \"row_limit\": 179", 3, 1, "one step may touch 180"},
        {"\"kind\": \"async\", \"row_limit\": 6000, \"rows\": \"dense\"", 3, 1,
            "mode.rows `dense` keeps all embedding rows, and mode.row_limit 6000 of them"},
        {"\"kind\": \"async\", \"rows\": \"dense\"", 3, 1, NULL},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[320];
        snprintf(text, sizeof(text),
            "{\"model\": {\"kind\": \"linear\"}, \"data\": {\"kind\": \"clicks\", "
            "\"batch\": 20, \"fields\": \"10,60x2\"}, \"mode\": {%s}}",
            rows[i].mode);
        assert_ok(load(&log, text, NULL, &job));
        enum mu_status status = mu_job_fit(&log.log, job, rows[i].replicas, rows[i].servers);
        if (status != (rows[i].said ? MU_CONFIG : MU_OK))
            fail_msg("%s: %d %s", rows[i].mode, (int)status, log.text);
        if (rows[i].said)
            assert_said(&log, rows[i].said);
        mu_job_destroy(job);
    }
}

static void one_replica_of_a_cluster_without_servers_does_not_do_without_them_unasked(void **state)
{
    static const struct fitting rows[] = {
        {"\"kind\": \"async\"", 1, 0,
            {"mode `async` needs a parameter server, and the cluster has none",
                "add a parameter server to the cluster (ps), or use --set mode.kind=sync"}},
        {"\"kind\": \"bounded\"", 1, 0, {"mode `bounded` needs a parameter server"}},
        {"\"kind\": \"async\"", 2, 0, {"mode `async` needs a parameter server"}},
        {"\"kind\": \"async\"", 1, 1, {NULL}},
        {"\"kind\": \"sync\"", 1, 0, {NULL}},
        {"\"kind\": \"sync\"", 1, 1, {NULL}},
    };
    (void)state;
    check_fits(mu_job_fit_cluster, rows, MU_COUNT_OF(rows));
    static const struct fitting alone = {"\"kind\": \"async\"", 1, 0, {NULL}};
    check_fits(mu_job_fit, &alone, 1);
}

static void a_lost_server_is_waited_for_unless_the_job_says_otherwise(void **state)
{
    static const struct {
        const char *mode;
        int replicas, servers;
        double seconds;
    } rows[] = {
        {"\"kind\": \"async\"", 2, 1, 60},
        {"\"kind\": \"async\", \"recovery_seconds\": \"auto\"", 2, 1, 60},
        {"\"kind\": \"sync\", \"backups\": 1", 3, 1, 60},
        {"\"kind\": \"async\", \"recovery_seconds\": 2.5", 2, 1, 2.5},
        {"\"kind\": \"async\", \"recovery_seconds\": 0", 2, 1, 0},
        {"\"kind\": \"async\", \"replicas\": 1", 2, 2, 0},
        {"\"kind\": \"async\", \"replicas\": 1, \"recovery_seconds\": 0", 2, 2, 0},
        {"\"kind\": \"sync\"", 2, 0, 0},
        {"\"kind\": \"sync\"", 2, 1, 0},
        {"\"kind\": \"sync\", \"recovery_seconds\": 0", 2, 0, 0},
        {"\"kind\": \"async\"", 1, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(text, sizeof(text), "{" MODEL ", \"mode\": {%s}}", rows[i].mode);
        assert_ok(load(&log, text, NULL, &job));
        assert_float_equal(
            mu_job_recovery_seconds(job, rows[i].replicas, rows[i].servers), rows[i].seconds, 0);
        mu_job_destroy(job);
    }
}

static void tables_that_need_all_ids_are_refused_where_nobody_knows_them(void **state)
{
    static const char *const modes[][2] = {
        {"\"rows\": \"dense\"", "mode.rows `dense` needs to know how many ids there are"},
        {"\"row_split\": \"range\"", "mode.row_split `range` needs to know how many ids there are"},
    };
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(modes); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(text, sizeof(text),
            "{\"model\": {\"kind\": \"linear\"}, \"data\": {\"kind\": \"clicks\"}, "
            "\"mode\": {\"kind\": \"async\", %s}}",
            modes[i][0]);
        assert_ok(load(&log, text, NULL, &job));
        const struct mu_dataset_facts known = {.id_count = 10}, unknown = {.id_count = 0};
        assert_ok(mu_job_table_check(job, &known, &log.log));
        assert_int_equal(mu_job_table_check(job, &unknown, &log.log), MU_CONFIG);
        assert_non_null(strstr(log.text, modes[i][1]));
        mu_job_destroy(job);
    }
}

static void a_step_beyond_those_planned_has_the_rate_of_the_last(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    (void)state;
    assert_ok(load(&log, "{" MODEL ", \"schedule\": {\"kind\": \"cosine\"}}", NULL, &job));
    double last = mu_job_rate(job, 9, 10);
    assert_true(last > 0);
    assert_true(last < mu_job_rate(job, 8, 10));
    assert_float_equal(mu_job_rate(job, 10, 10), last, 0);
    assert_float_equal(mu_job_rate(job, 1000, 10), last, 0);
    mu_job_destroy(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mode_that_cannot_be_says_what_would_do),
        cmocka_unit_test(a_bound_that_is_chosen_is_for_a_mode_that_bounds),
        cmocka_unit_test(steps_are_counted_as_the_mode_makes_them),
        cmocka_unit_test(a_schedule_changes_what_it_says_and_keeps_the_rest),
        cmocka_unit_test(a_schedule_that_cannot_be_says_where),
        cmocka_unit_test(an_algorithm_that_adds_nothing_is_refused_wherever_it_runs),
        cmocka_unit_test(an_algorithm_that_cannot_add_on_one_host_is_refused),
        cmocka_unit_test(a_table_without_room_for_a_step_is_refused),
        cmocka_unit_test(one_replica_of_a_cluster_without_servers_does_not_do_without_them_unasked),
        cmocka_unit_test(a_lost_server_is_waited_for_unless_the_job_says_otherwise),
        cmocka_unit_test(tables_that_need_all_ids_are_refused_where_nobody_knows_them),
        cmocka_unit_test(a_step_beyond_those_planned_has_the_rate_of_the_last),
    };
    return cmocka_run_group_tests(tests, make_path, drop_path);
}
