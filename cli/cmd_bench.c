/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_crew.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "roles/launch/local.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * muster bench train: the job on a local cluster, several times, each in a run directory of its
 * own below TMPDIR that is removed again; the numbers are those of its summary.json.
 */
#define BENCH_RUNS 5
#define BENCH_ARGUMENTS_MAX (2 * MU_FLAG_SETS_MAX + 16)

struct bench {
    struct mu_log *log;
    const struct mu_cmd_bench_train_options *options;
    double speed[BENCH_RUNS], first_step[BENCH_RUNS];
};

static enum mu_status read_number(
    struct mu_log *log, const struct mu_json *json, const char *key, double *ret_value)
{
    const mu_json_value *value = mu_json_member(mu_json_root(json), key);
    enum mu_json_type type = value ? mu_json_type(value) : MU_JSON_NULL;
    if (type != MU_JSON_REAL && type != MU_JSON_INTEGER)
        return mu_fail(log, MU_E0804, NULL, "%s has no `%s`", mu_json_source(json), key);
    *ret_value = mu_json_real(value);
    return MU_OK;
}

static enum mu_status read_summary(struct bench *bench, int run, const char *directory)
{
    char path[256];
    struct mu_json *json;
    mu_format(path, sizeof(path), "%s/summary.json", directory);
    MU_TRY(mu_json_read(bench->log, MU_E0605, path, &json));
    enum mu_status status = read_number(bench->log, json, "samples_per_second", &bench->speed[run]);
    if (status == MU_OK)
        status = read_number(bench->log, json, "first_step_seconds", &bench->first_step[run]);
    mu_json_destroy(json);
    return status;
}

static void remove_directory(const char *directory)
{
    char command[300];
    /* The name is ours: TMPDIR's characters are kept from the shell by the quotes of mkdtemp's
     * template, which is refused if it holds one. */
    mu_format(command, sizeof(command), "rm -rf -- '%s'", directory);
    int code = system(command);
    (void)code;
}

static int run_cluster(struct bench *bench, const char *directory)
{
    const struct mu_cmd_bench_train_options *options = bench->options;
    const int counts[MU_ROLE_COUNT] = {
        [MU_ROLE_WORKER] = (int)options->workers, [MU_ROLE_PS] = (int)options->ps};
    const char *argv[BENCH_ARGUMENTS_MAX] = {"run", options->job, "--quiet", "--out", directory};
    int count = 5;
    for (int i = 0; i < options->sets.count; i++) {
        argv[count++] = "--set";
        argv[count++] = options->sets.item[i];
    }
    char *mutable_argv[BENCH_ARGUMENTS_MAX];
    memcpy(mutable_argv, argv, sizeof(argv));
    return mu_local_run(bench->log,
        &(struct mu_local_request){
            .counts = counts, .argv = mutable_argv, .out_dir = directory, .quiet = true});
}

static int run_once(struct bench *bench, int run)
{
    const char *folder = getenv("TMPDIR");
    char directory[200];
    int bytes = snprintf(directory, sizeof(directory), "%s/muster-bench-XXXXXX",
        folder && !strchr(folder, '\'') ? folder : "/tmp");
    if (bytes < 0 || (size_t)bytes >= sizeof(directory) || !mkdtemp(directory))
        return mu_status_exit(mu_fail(bench->log, MU_E0604, NULL, "%s cannot be made", directory));
    int code = run_cluster(bench, directory);
    if (code == 0)
        code = mu_status_exit(read_summary(bench, run, directory));
    remove_directory(directory);
    return code;
}

static void print(struct bench *bench)
{
    const struct mu_cmd_bench_train_options *options = bench->options;
    double speed = mu_bench_median(bench->speed, BENCH_RUNS);
    double first_step = mu_bench_median(bench->first_step, BENCH_RUNS);
    if (!options->json) {
        printf("%s, %d workers, %d ps: %.0f samples/s in all (%.0f to %.0f), first step after "
               "%.3f s; medians of %d runs\n",
            options->job, (int)options->workers, (int)options->ps, speed, bench->speed[0],
            bench->speed[BENCH_RUNS - 1], first_step, BENCH_RUNS);
        return;
    }
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text, "{\"bench\":\"train\",\"job\":");
    mu_text_add_json_string(&text, options->job);
    mu_text_add(&text,
        ",\"workers\":%d,\"ps\":%d,\"runs\":%d,\"samples_per_second\":%.0f,\"min\":%.0f,"
        "\"max\":%.0f,\"first_step_seconds\":%.4f}",
        (int)options->workers, (int)options->ps, BENCH_RUNS, speed, bench->speed[0],
        bench->speed[BENCH_RUNS - 1], first_step);
    puts(text.data);
    mu_text_finish(&text);
}

static enum mu_status check(struct mu_log *log, const struct mu_cmd_bench_train_options *options)
{
    struct mu_job *job;
    MU_TRY(mu_job_file_load(log, options->job, options->sets.item, &job));
    enum mu_status status = mu_job_fit_cluster(log, job, (int)options->workers, (int)options->ps);
    mu_job_destroy(job);
    return status;
}

static int run(struct mu_log *log, const void *given, char *const *arguments)
{
    (void)arguments;
    struct bench bench = {.log = log, .options = given};
    enum mu_status status = check(log, given);
    if (status != MU_OK)
        return mu_status_exit(status);
    for (int i = 0; i < BENCH_RUNS; i++) {
        int code = run_once(&bench, i);
        if (code != 0)
            return code;
    }
    print(&bench);
    return 0;
}

static const char *const examples[] = {
    "muster bench train --job configs/bench-mlp.json --workers 2 --json", NULL};

const struct mu_command mu_command_bench_train = {
    .name = "bench train",
    .doc = "measures a job's speed on a local cluster in five runs",
    .details = "Samples a second in all, from the first finished step to the last, and the seconds "
               "from the start of the last task to the first finished step: medians of five runs.",
    .examples = examples,
    .flags = mu_flags_bench_train,
    .operands = mu_operands_bench_train,
    .option_bytes = sizeof(struct mu_cmd_bench_train_options),
    .run = run,
};
