/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "roles/job/job.h"
#include "runtime/base/text.h"
#include <unistd.h>

static char job_path[] = "/tmp/muster-job-XXXXXX";

static int make_path(void **state)
{
    int fd = mkstemp(job_path);
    return fd < 0 ? -1 : close(fd);
}

static int drop_path(void **state)
{
    return unlink(job_path);
}

static enum mu_status load(
    struct mu_test_log *log, const char *text, const char *const sets[], struct mu_job **ret_job)
{
    FILE *file = fopen(job_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    *ret_job = NULL;
    return mu_job_load(mu_test_log_init(log), job_path, sets, ret_job);
}

/* The example of the design. */
static const char whole[] =
    "{ \"name\": \"mnist-sync\",\n"
    "  \"model\":      { \"kind\": \"mlp\", \"widths\": [784, 128, 10] },\n"
    "  \"data\":       { \"kind\": \"idx\", \"path\": \"data/mnist\", \"batch\": 32 },\n"
    "  \"mode\":       { \"kind\": \"sync\" },\n"
    "  \"optimizer\":  { \"kind\": \"momentum\", \"learning_rate\": 0.05, \"momentum\": 0.8 },\n"
    "  \"schedule\":   { \"kind\": \"cosine\", \"warmup_steps\": 100 },\n"
    "  \"train\":      { \"epochs\": 5, \"seed\": 7 },\n"
    "  \"checkpoint\": { \"every_steps\": 500, \"keep\": 3 } }\n";

#define MODEL "\"model\": {\"kind\": \"mlp\", \"widths\": [784, 10]}"

static void a_whole_job_is_read(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    assert_ok(load(&log, whole, NULL, &job));
    assert_string_equal(job->name, "mnist-sync");
    assert_string_equal(job->model->name, "mlp");
    assert_string_equal(job->dataset->name, "idx");
    assert_int_equal(job->data.batch, 32);
    assert_int_equal(job->mode.kind, MU_MODE_SYNC);
    assert_string_equal(job->optimizer->name, "momentum");
    assert_float_equal(job->optim.learning_rate, 0.05, 0);
    assert_string_equal(job->schedule->name, "cosine");
    assert_int_equal(job->train.epochs, 5);
    assert_int_equal(job->train.seed, 7);
    assert_int_equal(job->checkpoint.every_steps, 500);
    assert_string_equal(log.text, "");
    mu_job_destroy(job);
}

static void only_the_model_must_be_given(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    assert_ok(load(&log, "{" MODEL "}", NULL, &job));
    assert_memory_equal(job->name, "muster-job-", 11); /* after the file */
    assert_string_equal(job->dataset->name, "glyphs");
    assert_int_equal(job->mode.kind, MU_MODE_SYNC);
    assert_string_equal(job->optimizer->name, "sgd");
    assert_string_equal(job->schedule->name, "constant");
    assert_string_equal(job->policy->name, "apply");
    assert_int_equal(job->train.epochs, 1);
    assert_string_equal(job->train.device, "cpu");
    assert_true(job->data.prefetch >= 2);
    mu_job_destroy(job);
}

static void a_policy_brings_its_own_options(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    assert_ok(load(&log,
        "{" MODEL ", \"mode\": {\"kind\": \"async\", \"policy\": \"drop\", \"bound\": 3}}", NULL,
        &job));
    assert_int_equal(job->mode.kind, MU_MODE_ASYNC);
    assert_string_equal(job->policy->name, "drop");
    assert_int_equal(mu_job_ps_plan(job, 4, 100).phase[0].mode.bound, 3);
    mu_job_destroy(job);
    assert_ok(load(&log,
        "{" MODEL ", \"mode\": {\"kind\": \"async\", \"policy\": \"scale\", \"power\": 2}}", NULL,
        &job));
    struct mu_push_facts late = {.staleness = 4};
    assert_float_equal(job->policy->judge(job->policy_options, &late).scale, 1.0 / 16, 0);
    mu_job_destroy(job);
}

static void malformed_jobs_say_where_and_what_was_meant(void **state)
{
    static const struct {
        const char *text, *said[3];
    } rows[] = {
        {"", {"error[E0201]", ":1:1"}},
        {"{", {"error[E0201]"}},
        {"[]", {"error[E0203]", "a job must be an object, not an array"}},
        {"{}", {"error[E0203]", "`model.kind` is missing", "\"widths\": [784, 128, 10]"}},
        {"{" MODEL ", \"modle\": {}}", {"error[E0202]: unknown key `modle`", "did you mean `mode"}},
        {"{" MODEL ", \"trian\": {}}", {"error[E0202]: unknown key `trian`", "`train`?"}},
        {"{\"model\": {\"kind\": \"mpl\"}}",
            {"error[E0202]: unknown model.kind `mpl`", "did you mean `mlp`?", ":1:20"}},
        {"{\"model\": {\"kind\": \"resnet\"}}", {"unknown model.kind `resnet`", "expected `"}},
        {"{\"model\": {\"kind\": 3}}", {"error[E0203]: `model.kind` is an integer", ":1:20"}},
        {"{\"model\": {\"kind\": \"mlp\"}}", {"error[E0203]", "`model.widths` is missing"}},
        {"{\"model\": 3}", {"error[E0203]: `model` is an integer"}},
        {"{" MODEL ", \"train\": 3}", {"error[E0203]: `train` is an integer"}},
        {"{" MODEL ", \"data\": {\"bacth\": 3}}",
            {"error[E0202]: unknown key `data.bacth`", "did you mean `batch`?"}},
        {"{" MODEL ", \"data\": {\"batch\": 0}}",
            {"error[E0203]: `data.batch` is out of range", "1 to 1048576"}},
        {"{" MODEL ", \"data\": {\"batch\": \"64\"}}", {"`data.batch` is a string"}},
        {"{" MODEL ", \"mode\": {\"kind\": \"asnyc\"}}", {"`mode.kind`", "did you mean `async`?"}},
        {"{" MODEL ", \"mode\": {\"policy\": \"drp\"}}",
            {"error[E0202]: unknown mode.policy `drp`", "did you mean `drop`?"}},
        {"{" MODEL ", \"mode\": {\"policy\": \"apply\", \"power\": 3}}",
            {"error[E0202]: `mode.power` is an option of `scale`, not of `apply`",
                "use --set mode.policy=scale"}},
        {"{" MODEL ", \"mode\": {\"kind\": \"softsync\", \"gradients\": 0}}",
            {"error[E0203]: `mode.gradients` is out of range", "1 to 1000000"}},
        {"{" MODEL ", \"optimizer\": {\"kind\": \"adam\", \"momentum\": 0.9}}",
            {"error[E0202]: `optimizer.momentum` is an option of `momentum`, not of `adam`",
                "use --set optimizer.kind=momentum"}},
        {"{" MODEL ", \"optimizer\": {\"learning_rate\": 1e999}}", {"error[E020"}},
        {"{" MODEL ", \"schedule\": {\"kind\": \"cosin\"}}", {"did you mean `cosine`?"}},
        {"{" MODEL ", \"train\": {\"device\": \"cpuu\"}}",
            {"error[E0202]: unknown device `cpuu`", "did you mean `cpu`?"}},
        {"{" MODEL ", \"name\": \"../x\"}", {"error[E0203]: `name` cannot name a directory"}},
        {"{" MODEL ", \"name\": \"\"}", {"error[E0203]: `name` cannot name a directory"}},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        if (load(&log, rows[i].text, NULL, &job) != MU_CONFIG)
            fail_msg("not refused: %s", rows[i].text);
        for (int j = 0; j < 3 && rows[i].said[j]; j++)
            assert_said(&log, rows[i].said[j]);
        assert_null(job);
    }
}

static void a_job_that_is_not_there_is_a_missing_input(void **state)
{
    struct mu_test_log log;
    struct mu_job *job = NULL;
    assert_int_equal(
        mu_job_load(mu_test_log_init(&log), "/nowhere/job.json", NULL, &job), MU_NO_INPUT);
    assert_said(&log, "/nowhere/job.json");
    assert_null(job);
}

static void sets_override_and_are_checked_like_the_file(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    const char *const good[] = {"train.epochs=9", "data.kind=glyphs", "data.path=x",
        "optimizer.learning_rate=1e-3", "log.every_steps=5", NULL};
    assert_int_equal(load(&log, whole, good, &job), MU_CONFIG);
    assert_said(&log, "`data.path` is an option of `"); /* glyphs have no path */
    assert_said(&log, "`, not of `glyphs`");
    assert_said(&log, "--> command line:1:7");
    const char *const better[] = {
        "train.epochs=9", "optimizer.learning_rate=1e-3", "log.every_steps=5", NULL};
    assert_ok(load(&log, whole, better, &job));
    assert_int_equal(job->train.epochs, 9);
    assert_float_equal(job->optim.learning_rate, 1e-3, 0);
    assert_int_equal(job->log.every_steps, 5);
    mu_job_destroy(job);
    static const struct {
        const char *set;
        enum mu_status status;
        const char *said;
    } rows[] = {
        {"train.epochs", MU_USAGE, "--set `train.epochs` is not section.key=value"},
        {"=3", MU_USAGE, "is not section.key=value"},
        {"train.epochs=0", MU_CONFIG, "`train.epochs` is out of range"},
        {"train.epoch=3", MU_CONFIG, "did you mean `epochs`?"},
        {"mode.transport=mpi", MU_CONFIG, "mpi is none: there one lost process ends all"},
        {"optimizer.learning_rate=nan", MU_CONFIG, "`optimizer.learning_rate` is a string"},
        {"name.x=3", MU_USAGE, "name"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        const char *const sets[] = {rows[i].set, NULL};
        assert_int_equal(load(&log, whole, sets, &job), rows[i].status);
        assert_said(&log, rows[i].said);
    }
}

static void a_set_of_a_string_needs_no_quotes(void **state)
{
    static const char *const typed[] = {"2024", "true", "null", "1.50", "[1]", "{}", "\"2024\""};
    for (size_t i = 0; i < MU_COUNT_OF(typed); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char set[32], device[32];
        const char *const sets[] = {set, "name=123", NULL};
        mu_format(set, sizeof(set), "train.device=%s", typed[i]);
        mu_format(
            device, sizeof(device), "unknown device `%s`", typed[i][0] == '"' ? "2024" : typed[i]);
        assert_int_equal(load(&log, whole, sets, &job), MU_CONFIG);
        assert_said(&log, device);
        assert_ok(load(&log, whole, sets + 1, &job));
        assert_string_equal(job->name, "123");
        mu_job_destroy(job);
    }
}

/* In a file there are quotes, and a later change of the whole section is JSON as it stands. */
static void a_number_in_a_file_is_no_string(void **state)
{
    struct mu_test_log log;
    struct mu_job *job;
    const char *const sets[] = {"data.path=2024", "data={\"kind\": \"idx\", \"path\": 2025}", NULL};
    assert_int_equal(load(&log, "{\"name\": 3, " MODEL "}", NULL, &job), MU_CONFIG);
    assert_said(&log, "`name` is an integer");
    assert_int_equal(load(&log, whole, sets, &job), MU_CONFIG);
    assert_said(&log, "`data.path` is an integer");
}

/* Where the file has no section for a change, it is the file that is wrong. */
static void a_set_cannot_hide_a_section_that_is_none(void **state)
{
    static const struct {
        const char *text, *set, *said;
    } rows[] = {
        {"{" MODEL ",\n \"train\": null}", "train.steps=1", ":2:11\n"},
        {"{" MODEL ",\n \"train\": null}", "train.steps=1", "`train` is null"},
        {"{" MODEL ",\n \"train\": 3}", "train.seed=4", "`train` is an integer"},
        {"{" MODEL ",\n \"data\": []}", "data.batch=3", "`data` is an array"},
        {"[]", "train.steps=1", "a job must be an object, not an array"},
        {"3", "name=x", "a job must be an object, not an integer"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_test_log log;
        struct mu_job *job;
        const char *const sets[] = {rows[i].set, NULL};
        assert_int_equal(load(&log, rows[i].text, sets, &job), MU_CONFIG);
        assert_said(&log, rows[i].said);
        assert_said(&log, "error[E0203]");
        assert_said(&log, job_path);
    }
}

#define SCHEDULE(entry) "\"schedule\": [{\"from_step\": 9, " entry "}]"

/* What a job and a cluster of `replicas` and `servers` make of each other. */
struct fitting {
    const char *mode;
    int replicas, servers;
    const char *said[2]; /* the first NULL: it fits */
};

static void check_fits(const struct fitting *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mu_test_log log;
        struct mu_job *job;
        char text[256];
        snprintf(text, sizeof(text), "{" MODEL ", \"mode\": {%s}}", rows[i].mode);
        assert_ok(load(&log, text, NULL, &job));
        enum mu_status status = mu_job_fit(&log.log, job, rows[i].replicas, rows[i].servers);
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
            {"4 workers and 1 backups needs 5 replicas; the cluster has 4", "add workers"}},
        {"\"kind\": \"sync\", \"backups\": 4", 4, 1, {"needs 5 replicas"}},
        {"\"kind\": \"async\", \"backups\": 1", 4, 1, {"are for mode `sync`"}},
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
    check_fits(rows, MU_COUNT_OF(rows));
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
    check_fits(rows, MU_COUNT_OF(rows));
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

static void a_written_job_reads_back_as_the_same(void **state)
{
    struct mu_test_log log;
    struct mu_job *job, *again;
    struct mu_text text, text_again;
    const char *const sets[] = {"mode.schedule=[{\"from_step\": 9, \"kind\": \"async\", "
                                "\"policy\": \"scale\"}, {\"from_step\": 12}]",
        NULL};
    assert_ok(load(&log, whole, sets, &job));
    mu_text_init(&text);
    mu_job_write(job, &text);
    assert_false(text.failed);
    assert_non_null(strstr(text.data, "\"momentum\": 0.8"));
    assert_non_null(strstr(text.data, "\"prefetch\": ")); /* defaults are filled in */
    assert_ok(load(&log, text.data, NULL, &again));
    assert_true(again->hash == job->hash);
    mu_text_init(&text_again);
    mu_job_write(again, &text_again);
    assert_string_equal(text_again.data, text.data);
    mu_text_finish(&text);
    mu_text_finish(&text_again);
    mu_job_destroy(job);
    mu_job_destroy(again);
}

static void the_hash_covers_what_tasks_must_agree_on(void **state)
{
    static const struct {
        const char *set;
        bool same;
    } rows[] = {{"name=other", true}, {"data.path=/elsewhere", true}, {"checkpoint.keep=9", true},
        {"log.every_steps=9", true}, {"train.device=reference", true}, {"train.seed=8", false},
        {"data.batch=33", false}, {"optimizer.momentum=0.7", false},
        {"optimizer.learning_rate=0.06", false}, {"model.widths=[784,10]", false},
        {"mode.kind=async", false}, {"mode.policy=drop", false},
        {"mode.schedule=[{\"from_step\": 3}]", false}};
    struct mu_test_log log;
    struct mu_job *job;
    assert_ok(load(&log, whole, NULL, &job));
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_job *other;
        const char *const sets[] = {rows[i].set, NULL};
        assert_ok(load(&log, whole, sets, &other));
        if ((other->hash == job->hash) != rows[i].same)
            fail_msg("%s", rows[i].set);
        mu_job_destroy(other);
    }
    mu_job_destroy(job);
}

static void the_description_names_every_section_and_kind(void **state)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_job_describe(&text);
    static const char *const names[] = {"model:", "data:", "mode:", "optimizer:", "schedule:",
        "train:", "checkpoint:", "log:", "model.kind = \"mlp\"", "data.kind = \"idx\"",
        "data.kind = \"glyphs\"", "mode.policy = \"drop\"", "optimizer.kind = \"adam\"",
        "schedule.kind = \"cosine\"", "bucket_bytes", "batch"};
    for (size_t i = 0; i < MU_COUNT_OF(names); i++)
        if (!strstr(text.data, names[i]))
            fail_msg("no %s in:\n%s", names[i], text.data);
    mu_text_finish(&text);
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
        cmocka_unit_test(a_whole_job_is_read),
        cmocka_unit_test(only_the_model_must_be_given),
        cmocka_unit_test(a_policy_brings_its_own_options),
        cmocka_unit_test(malformed_jobs_say_where_and_what_was_meant),
        cmocka_unit_test(a_job_that_is_not_there_is_a_missing_input),
        cmocka_unit_test(sets_override_and_are_checked_like_the_file),
        cmocka_unit_test(an_algorithm_that_adds_nothing_is_refused_wherever_it_runs),
        cmocka_unit_test(an_algorithm_that_cannot_add_on_one_host_is_refused),
        cmocka_unit_test(a_set_of_a_string_needs_no_quotes),
        cmocka_unit_test(a_number_in_a_file_is_no_string),
        cmocka_unit_test(a_set_cannot_hide_a_section_that_is_none),
        cmocka_unit_test(a_mode_that_cannot_be_says_what_would_do),
        cmocka_unit_test(a_bound_that_is_chosen_is_for_a_mode_that_bounds),
        cmocka_unit_test(steps_are_counted_as_the_mode_makes_them),
        cmocka_unit_test(a_schedule_changes_what_it_says_and_keeps_the_rest),
        cmocka_unit_test(a_schedule_that_cannot_be_says_where),
        cmocka_unit_test(a_table_without_room_for_a_step_is_refused),
        cmocka_unit_test(a_step_beyond_those_planned_has_the_rate_of_the_last),
        cmocka_unit_test(a_written_job_reads_back_as_the_same),
        cmocka_unit_test(the_hash_covers_what_tasks_must_agree_on),
        cmocka_unit_test(the_description_names_every_section_and_kind),
    };
    return cmocka_run_group_tests(tests, make_path, drop_path);
}
