/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/roles/job_case.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_job_is_read),
        cmocka_unit_test(only_the_model_must_be_given),
        cmocka_unit_test(a_policy_brings_its_own_options),
        cmocka_unit_test(malformed_jobs_say_where_and_what_was_meant),
        cmocka_unit_test(a_job_that_is_not_there_is_a_missing_input),
        cmocka_unit_test(sets_override_and_are_checked_like_the_file),
        cmocka_unit_test(a_set_of_a_string_needs_no_quotes),
        cmocka_unit_test(a_number_in_a_file_is_no_string),
        cmocka_unit_test(a_set_cannot_hide_a_section_that_is_none),
        cmocka_unit_test(a_written_job_reads_back_as_the_same),
        cmocka_unit_test(the_hash_covers_what_tasks_must_agree_on),
        cmocka_unit_test(the_description_names_every_section_and_kind),
    };
    return cmocka_run_group_tests(tests, make_path, drop_path);
}
