/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/job_file.h"
#include "roles/launch/local.h"
#include "roles/run.h"
#include "roles/run_dir.h"
#include "roles/task.h"
#include "runtime/base/console.h"
#include "runtime/io/run_lock.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PS_RESTARTS 5 /* of each parameter server, where the job waits for those that are lost */

/* A launcher starts every task on this machine: what names one task or one cluster contradicts. */
static enum mu_status check_local(struct mu_log *log, const struct mu_cmd_run_options *options)
{
    const struct mu_spec_request nothing = {0};
    struct mu_launcher launcher;
    const char *other = options->cluster[0] ? "--cluster"
                        : options->task[0]  ? "--task"
                        : options->roles[0] ? "--roles"
                                            : NULL;
    if (options->local[0] && other)
        return mu_fail(log, MU_E0001, "leave one of them out",
            "--local starts a cluster on this machine and cannot be given with %s", other);
    if (!options->local[0] || !mu_spec_launched(&nothing, &launcher))
        return MU_OK;
    return mu_fail(log, MU_E0001,
        "`--roles ROLES` in its place makes a task of each process; or start one process alone",
        "--local starts a whole cluster, and %s ($%s) would start one with each of its processes",
        launcher.name, launcher.rank_variable);
}

/* Vertex AI says where checkpoints go: that folder is in the run directory, and what is in a bucket
 * is mounted at /gcs. NULL: it does not say, or means another folder. */
static const char *directory_of_platform(void)
{
    static char path[MU_CLI_PATH_MAX];
    static const char own[] = "/checkpoints", bucket[] = "gs://", mounted[] = "/gcs/";
    const char *said = getenv("AIP_CHECKPOINT_DIR");
    if (!said)
        return NULL;
    bool is_bucket = strncmp(said, bucket, strlen(bucket)) == 0;
    int length = snprintf(path, sizeof(path), "%s%s", is_bucket ? mounted : "",
        said + (is_bucket ? strlen(bucket) : 0));
    if (length <= 0 || (size_t)length >= sizeof(path))
        return NULL;
    while (length > 0 && path[length - 1] == '/')
        path[--length] = '\0';
    if ((size_t)length <= strlen(own) || strcmp(path + length - strlen(own), own) != 0)
        return NULL;
    path[(size_t)length - strlen(own)] = '\0';
    return path;
}

static enum mu_status make_request(struct mu_log *log, const struct mu_cmd_run_options *options,
    struct mu_run_request *ret_request)
{
    struct mu_run_request request = {
        .job_path = options->job,
        .sets = options->sets.item,
        .out_dir = options->out[0] ? options->out : directory_of_platform(),
        .resume = options->resume,
        .local = options->local[0] != '\0',
        .cluster = {.cluster_path = options->cluster[0] ? options->cluster : NULL,
            .task = options->task[0] ? options->task : NULL},
        .start_timeout_ns = (int64_t)(options->start_timeout * 1e9),
        .step_timeout_ns = (int64_t)(options->step_timeout * 1e9),
        .failure_detection = (enum mu_failure_detection)options->failure_detection,
        .quiet = options->quiet,
        .verbose = options->verbose,
    };
    MU_TRY(check_local(log, options));
    if (request.local)
        MU_TRY(mu_spec_parse_counts(log, "--local", options->local, request.local_counts));
    if (options->roles[0])
        MU_TRY(mu_spec_parse_counts(log, "--roles", options->roles, request.cluster.counts));
    *ret_request = request;
    return MU_OK;
}

/* The same command line without --local: what each task is started with. */
static char **arguments_of_tasks(char *const *arguments)
{
    size_t count = 0, kept = 0;
    while (arguments[count])
        count++;
    char **tasks = calloc(count + 1, sizeof(*tasks));
    for (size_t i = 0; tasks && i < count; i++) {
        if (strcmp(arguments[i], "--") == 0) {
            for (; i < count; i++)
                tasks[kept++] = arguments[i];
            break;
        }
        if (strcmp(arguments[i], "--local") == 0)
            i++; /* and its value */
        else if (strncmp(arguments[i], "--local=", 8) != 0)
            tasks[kept++] = arguments[i];
    }
    return tasks;
}

/* `local` is what --local said: the tasks quote it in the command that resumes. */
static int run_local(struct mu_log *log, const struct mu_run_request *request,
    const struct mu_job *job, const char *local, char *const *arguments)
{
    char out_dir[MU_RUN_DIR_PATH_MAX];
    const int *counts = request->local_counts;
    /* What every task would say is said here, once. */
    int replica_count = counts[MU_ROLE_CHIEF] + counts[MU_ROLE_WORKER];
    int ps_count = counts[MU_ROLE_PS];
    enum mu_status sound = mu_job_fit_local(log, job, replica_count, ps_count);
    if (sound == MU_OK)
        sound = mu_task_data_find(job, log);
    if (sound == MU_OK)
        sound = mu_run_dir_find(log, request->out_dir, job, out_dir);
    if (sound != MU_OK)
        return mu_status_exit(sound);
    /* Members learn of it from their leader, when they have written to the logs that are there. */
    if (mu_run_lock_check(log, out_dir) != MU_OK)
        return mu_status_exit(MU_CANNOT_CREATE);
    char **tasks = arguments_of_tasks(arguments);
    if (!tasks)
        return mu_status_exit(mu_fail(log, MU_E0801, NULL, "no memory for the command line"));
    setenv("MUSTER_LOCAL", local, 1);
    setenv("MUSTER_PROGRAM", program_invocation_name, 1);
    const struct mu_local_request launch = {.counts = counts,
        .argv = tasks,
        .out_dir = out_dir,
        .quiet = request->quiet,
        .has_standbys = job->mode.replicas > 0,
        .silence_ms = (int)(mu_run_dead_ns(request->failure_detection) / MU_MS),
        .ps_restarts =
            mu_job_recovery_seconds(job, replica_count, ps_count) > 0 ? PS_RESTARTS : 0};
    int code = mu_local_run(log, &launch);
    free(tasks);
    return code;
}

static bool names_roles(const struct mu_run_request *request)
{
    int named = 0;
    for (int i = 0; i < MU_ROLE_COUNT; i++)
        named += request->cluster.counts[i];
    return named > 0;
}

/* This process is one task, or all there is. */
static enum mu_status run_task(
    struct mu_log *log, const struct mu_run_request *request, const struct mu_job *job)
{
    struct mu_launcher launcher;
    struct mu_spec spec = {0};
    bool exchange = mu_spec_needs_exchange(&request->cluster, &launcher);
    if (!exchange)
        MU_TRY(mu_spec_load(log, &request->cluster, true, &spec));
    if (spec.local && names_roles(request)) {
        mu_spec_finish(&spec);
        return mu_fail(log, MU_E0001,
            "mpirun -n N muster run ..., or --local ROLES on this machine",
            "--roles is for the ranks of a launcher, and no launcher started this process");
    }
    if (spec.local)
        mu_say(log, MU_LEVEL_INFO,
            "no cluster is given: this process trains alone; `%s run %s --local %s",
            program_invocation_name, request->job_path,
            mu_job_uses_servers(job, 2, 0) ? "worker=2,ps=1` starts two workers and a server"
                                           : "2` starts two workers");
    enum mu_status status = mu_run(log, request, job, exchange ? NULL : &spec);
    mu_spec_finish(&spec);
    return status;
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    const struct mu_cmd_run_options *given = options;
    struct mu_run_request request = {0};
    struct mu_job *job = NULL;
    log->level = given->verbose ? MU_LEVEL_DEBUG : given->quiet ? MU_LEVEL_WARN : MU_LEVEL_INFO;
    /* From here on nothing waits for who reads what is said. */
    mu_console_open();
    enum mu_status status = make_request(log, given, &request);
    if (status == MU_OK)
        status = mu_job_file_load(log, request.job_path, request.sets, &job);
    int code = mu_status_exit(status);
    if (status == MU_OK)
        code = request.local ? run_local(log, &request, job, given->local, arguments)
                             : mu_status_exit(run_task(log, &request, job));
    mu_job_destroy(job);
    mu_console_close();
    return code;
}

static const char *const examples[] = {"muster run configs/demo.json",
    "muster run configs/demo.json --local 4 --steps 200",
    "muster run configs/mnist-async.json --local worker=3,ps=2 --set data.path=mnist",
    "TF_CONFIG='...' muster run job.json", "mpirun -n 4 muster run job.json",
    "srun -n 4 muster run job.json --roles worker=3,ps=1",
    "muster run configs/demo.json --local 4 --resume", NULL};

const struct mu_command mu_command_run = {
    .name = "run",
    .doc = "trains: one task of a cluster, or with --local all of them",
    .details =
        "Every task of a cluster is started with the same command. Who is in the cluster and which "
        "task this is come from, in this order: --cluster and --task, MUSTER_CLUSTER (a file or "
        "the JSON itself) and MUSTER_TASK, TF_CONFIG, CLUSTER_SPEC, SageMaker, torchrun, Slurm, "
        "Open MPI or PMIx; two of them that disagree are an error. A launcher's rank is the "
        "position of the task: chief, workers, ps, evaluator. With nothing given this process "
        "trains alone. Where data are is the job's to say: data.path, relative to where muster is "
        "started, by --set too; no variable sets it (MUSTER_DATA is of tests and benchmarks).",
    .examples = examples,
    .flags = mu_flags_run,
    .operands = mu_operands_run,
    .option_bytes = sizeof(struct mu_cmd_run_options),
    .run = run,
};
