/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cli/commands.h"

static const char *const no_examples[] = {NULL};
static const struct mu_command run_command = {.name = "run",
    .doc = "trains",
    .examples = no_examples,
    .flags = mu_flags_run,
    .operands = mu_operands_run,
    .option_bytes = sizeof(struct mu_cmd_run_options)};
static const struct mu_command simulate_command = {.name = "simulate",
    .doc = "simulates",
    .examples = no_examples,
    .flags = mu_flags_simulate,
    .operands = mu_operands_simulate,
    .option_bytes = sizeof(struct mu_cmd_simulate_options)};

static struct mu_test_log said;
static struct mu_cmd_run_options given;

/* The words of one line, parted by spaces. */
static enum mu_status parse(const char *line)
{
    static char copy[512];
    char *words[32] = {NULL}, *rest = copy;
    size_t count = 0;
    mu_text_copy(copy, sizeof(copy), line);
    for (char *word; (word = strsep(&rest, " "));)
        if (word[0] != '\0')
            words[count++] = word;
    return mu_args_parse(mu_test_log_init(&said), &run_command, words, &given);
}

static void defaults_are_those_of_the_rows(void **state)
{
    assert_ok(parse("job.json"));
    assert_string_equal(given.job, "job.json");
    assert_string_equal(given.local, "");
    assert_float_equal(given.start_timeout, 120, 0);
    assert_int_equal(given.failure_detection, MU_DETECT_DEFAULT);
    assert_false(given.resume);
    assert_int_equal(given.sets.count, 0);
    assert_null(given.sets.item[0]);
}

static void flags_are_read_in_every_form(void **state)
{
    assert_ok(parse("--local 4 job.json --start_timeout=5 --failure-detection fast -qv --resume "
                    "--out=runs/x --step-timeout 7.5"));
    assert_string_equal(given.job, "job.json");
    assert_string_equal(given.local, "4");
    assert_float_equal(given.start_timeout, 5, 0);
    assert_float_equal(given.step_timeout, 7.5, 0);
    assert_int_equal(given.failure_detection, MU_DETECT_FAST);
    assert_true(given.quiet);
    assert_true(given.verbose);
    assert_true(given.resume);
    assert_string_equal(given.out, "runs/x");
    assert_ok(parse("-- --odd.json"));
    assert_string_equal(given.job, "--odd.json");
}

static void short_flags_for_keys_of_the_job_become_sets_in_order(void **state)
{
    assert_ok(parse("job.json --set a.b=c --steps 100 --lr 1e-3 --set=d.e=f --batch=8 --epochs 2"));
    static const char *const sets[] = {"a.b=c", "train.steps=100", "optimizer.learning_rate=1e-3",
        "d.e=f", "data.batch=8", "train.epochs=2"};
    assert_int_equal(given.sets.count, MU_COUNT_OF(sets));
    for (size_t i = 0; i < MU_COUNT_OF(sets); i++)
        assert_string_equal(given.sets.item[i], sets[i]);
    assert_null(given.sets.item[MU_COUNT_OF(sets)]);
}

static void wrong_flags_name_the_flag_the_range_and_the_nearest(void **state)
{
    static const struct {
        const char *line, *said[3];
    } rows[] = {
        {"job.json --steps abc", {"error[E0001]: --steps cannot be `abc`", "an integer"}},
        {"job.json --steps=1.5", {"--steps cannot be `1.5`"}},
        {"job.json --steps", {"--steps has no value", "--steps N"}},
        {"job.json --steps --lr 1", {"--steps has no value"}},
        {"job.json --lr nan", {"--lr cannot be `nan`"}},
        {"job.json --lr inf", {"--lr cannot be `inf`"}},
        {"job.json --batch 0", {"--batch cannot be `0`", "1 to 1048576"}},
        {"job.json --batch -1", {"--batch cannot be `-1`"}},
        {"job.json --start-timeout 0", {"--start-timeout cannot be `0`", "1 to 86400"}},
        {"job.json --failure-detection slow", {"--failure-detection cannot be `slow`", "fast"}},
        {"job.json --failure_detection fats", {"did you mean `fast`?"}},
        {"job.json --rseume", {"unknown flag `--rseume`", "did you mean `--resume`?"}},
        {"job.json --clustre x", {"unknown flag `--clustre`", "did you mean `--cluster`?"}},
        {"job.json --nothing-like-it", {"unknown flag", "`muster run --help` lists the flags"}},
        {"job.json --resume=1", {"--resume takes no value"}},
        {"job.json -x", {"unknown flag `-x`"}},
        {"job.json --cluster=", {"--cluster: the value is empty"}},
        {"job.json more.json", {"`more.json` is one argument too many"}},
        {"--steps 3", {"muster run: JOB is missing (a job file"}},
        {"", {"JOB is missing"}},
        {"job.json --secret=abc", {"unknown flag `--secret`"}},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        if (parse(rows[i].line) != MU_USAGE)
            fail_msg("not refused: %s", rows[i].line);
        for (int j = 0; j < 3 && rows[i].said[j]; j++)
            assert_said(&said, rows[i].said[j]);
    }
}

static void sets_are_bounded(void **state)
{
    char *words[2 * MU_FLAG_SETS_MAX + 8] = {NULL};
    static char flag[] = "--set", value[] = "a.b=c", job[] = "job.json";
    words[0] = job;
    for (int i = 0; i <= MU_FLAG_SETS_MAX; i++) {
        words[1 + 2 * i] = flag;
        words[2 + 2 * i] = value;
    }
    assert_int_equal(mu_args_parse(mu_test_log_init(&said), &run_command, words, &given), MU_USAGE);
    assert_said(&said, "--set is given more than 64 times");
}

static void help_is_asked_for_anywhere_before_two_dashes(void **state)
{
    static char job[] = "job", help[] = "--help", letter[] = "-h", dashes[] = "--";
    char *const first[] = {job, help, NULL}, *const second[] = {letter, job, NULL},
                *const third[] = {job, dashes, help, NULL};
    assert_true(mu_args_ask_help(first));
    assert_true(mu_args_ask_help(second));
    assert_false(mu_args_ask_help(third));
}

static void every_flag_of_every_command_is_documented(void **state)
{
    const struct mu_flag *const tables[] = {
        mu_flags_run, mu_flags_simulate, mu_flags_bench_train, mu_flags_checkpoint};
    for (size_t i = 0; i < MU_COUNT_OF(tables); i++)
        for (const struct mu_flag *flag = tables[i]; flag->option.name; flag++) {
            const struct mu_option *row = mu_args_row(flag);
            assert_true((flag->option.doc ? flag->option.doc : row->doc)[0] != '\0');
            bool takes_value = flag->sets || flag->option.type != MU_OPTION_BOOL;
            assert_int_equal(flag->value != NULL, takes_value);
        }
}

static void simulated_times_and_links_are_read(void **state)
{
    struct mu_cmd_simulate_options simulate;
    static char job[] = "job.json";
    char *const words[] = {job, NULL};
    struct mu_log *log = mu_test_log_init(&said);
    enum mu_simulate_compute kind;
    double mean = 0, sigma = 0;
    int64_t bits = 0, latency = 0;
    assert_ok(mu_args_parse(log, &simulate_command, words, &simulate));
    assert_int_equal(simulate.workers, 2);
    assert_ok(mu_simulate_parse_compute(log, simulate.compute, &kind, &mean, &sigma));
    assert_ok(mu_simulate_parse_link(log, simulate.link, &bits, &latency));
    assert_int_equal(bits, 1000000000);
    assert_int_equal(latency, 100000);
    assert_ok(mu_simulate_parse_compute(log, "lognormal:12.5,0.5", &kind, &mean, &sigma));
    assert_int_equal(kind, MU_SIMULATE_LOGNORMAL);
    assert_float_equal(mean, 12.5, 0);
    assert_float_equal(sigma, 0.5, 0);
    assert_ok(mu_simulate_parse_compute(log, "fixed:3", &kind, &mean, &sigma));
    assert_int_equal(kind, MU_SIMULATE_FIXED);
    static const char *const computes[] = {"", "fixed", "fixed:", "fixed:x", "fixed:-1",
        "fixed:nan", "lognormal:1", "lognormal:1,", "lognormal:1,2,3", "lognormal:1,11"};
    for (size_t i = 0; i < MU_COUNT_OF(computes); i++)
        assert_int_equal(
            mu_simulate_parse_compute(log, computes[i], &kind, &mean, &sigma), MU_USAGE);
    static const char *const links[] = {"", "1e9", "1e9,", ",1", "1e9,-1", "0,1", "inf,1", "1e9,x"};
    for (size_t i = 0; i < MU_COUNT_OF(links); i++)
        assert_int_equal(mu_simulate_parse_link(log, links[i], &bits, &latency), MU_USAGE);
}

static void simulated_times_and_links_may_have_units(void **state)
{
    struct mu_log *log = mu_test_log_init(&said);
    static const struct {
        const char *text;
        double mean_ms;
    } computes[] = {{"fixed:20", 20}, {"fixed:20ms", 20}, {"fixed:1.5s", 1500},
        {"fixed:40us", 0.04}, {"lognormal:2s,0.3", 2000}};
    for (size_t i = 0; i < MU_COUNT_OF(computes); i++) {
        enum mu_simulate_compute kind;
        double mean = 0, sigma = 0;
        assert_ok(mu_simulate_parse_compute(log, computes[i].text, &kind, &mean, &sigma));
        assert_float_equal(mean, computes[i].mean_ms, 1e-9);
    }
    static const struct {
        const char *text;
        int64_t bits, latency_ns;
    } links[] = {{"10G,50us", 10000000000, 50000}, {"1e9,100", 1000000000, 100000},
        {"2.5M,1ms", 2500000, 1000000}, {"64k,0.5s", 64000, 500000000},
        {"1T,800ns", 1000000000000, 800}};
    for (size_t i = 0; i < MU_COUNT_OF(links); i++) {
        int64_t bits = 0, latency = 0;
        assert_ok(mu_simulate_parse_link(log, links[i].text, &bits, &latency));
        assert_int_equal(bits, links[i].bits);
        assert_int_equal(latency, links[i].latency_ns);
    }
}

static void stragglers_are_read_and_what_is_none_is_refused_with_the_range(void **state)
{
    struct mu_log *log = mu_test_log_init(&said);
    double fraction = 0, factor = 0;
    assert_ok(mu_simulate_parse_straggle(log, "0.02,10", &fraction, &factor));
    assert_float_equal(fraction, 0.02, 0);
    assert_float_equal(factor, 10, 0);
    static const char *const wrong[] = {
        "", "0.02", "0.02,", ",10", "1.1,10", "-0.1,10", "0.1,0.5", "0.1,1001", "2%,10", "0.1,10s"};
    for (size_t i = 0; i < MU_COUNT_OF(wrong); i++) {
        mu_test_log_init(&said);
        assert_int_equal(mu_simulate_parse_straggle(log, wrong[i], &fraction, &factor), MU_USAGE);
        assert_said(&said, "a fraction of 0 to 1 and a factor of 1 to 1000");
    }
    static const char *const no_units[] = {
        "fixed:s", "fixed:10m", "lognormal:10,1s", "fixed:10 ms"};
    for (size_t i = 0; i < MU_COUNT_OF(no_units); i++) {
        enum mu_simulate_compute kind;
        assert_int_equal(
            mu_simulate_parse_compute(log, no_units[i], &kind, &fraction, &factor), MU_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_rows),
        cmocka_unit_test(flags_are_read_in_every_form),
        cmocka_unit_test(short_flags_for_keys_of_the_job_become_sets_in_order),
        cmocka_unit_test(wrong_flags_name_the_flag_the_range_and_the_nearest),
        cmocka_unit_test(sets_are_bounded),
        cmocka_unit_test(help_is_asked_for_anywhere_before_two_dashes),
        cmocka_unit_test(every_flag_of_every_command_is_documented),
        cmocka_unit_test(simulated_times_and_links_are_read),
        cmocka_unit_test(simulated_times_and_links_may_have_units),
        cmocka_unit_test(stragglers_are_read_and_what_is_none_is_refused_with_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
