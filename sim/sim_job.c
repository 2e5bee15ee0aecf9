/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim_job.h"
#include "roles/run_dir.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_PORT 2222

struct sim_task {
    struct mu_spec spec; /* shares its tasks with the others; `self` is its own */
    struct mu_task_run run;
    enum mu_status status;
    char name[MU_TASK_NAME_MAX];
};

struct sim_job {
    const struct mu_sim_job *given;
    struct mu_log *log;
    struct mu_spec spec;
    struct mu_run_dir dir;
    struct mu_task_data data;
    struct mu_sim *sim;
    FILE *events;
    struct sim_task *task;
    const char **name;
};

static void run_task(void *argument)
{
    struct sim_task *task = argument;
    task->run.started_ns = mu_now(task->run.world);
    task->run.started_wall_ns = task->run.world->ops->wall_ns(task->run.world);
    task->status = mu_task_run(&task->run);
}

static enum mu_status make_spec(struct sim_job *job)
{
    const int counts[MU_ROLE_COUNT] = {[MU_ROLE_CHIEF] = 1,
        [MU_ROLE_WORKER] = job->given->replicas - 1,
        [MU_ROLE_PS] = job->given->servers,
        [MU_ROLE_EVALUATOR] = job->given->has_evaluator};
    int count = job->given->replicas + job->given->servers + job->given->has_evaluator;
    struct mu_address *addresses = calloc((size_t)count, sizeof(*addresses));
    if (!addresses)
        return MU_NO_MEMORY;
    for (int i = 0; i < count; i++) {
        mu_format(addresses[i].host, sizeof(addresses[i].host), "10.0.%d.%d", (i + 1) / 256,
            (i + 1) % 256);
        addresses[i].port = SIM_PORT;
    }
    enum mu_status status =
        mu_spec_from_addresses(job->log, counts, addresses, 0, "simulate", &job->spec);
    free(addresses);
    return status;
}

/* Without a folder nothing is written, and checkpoints live in memory. */
static enum mu_status open_outputs(struct sim_job *job)
{
    const struct mu_sim_job *given = job->given;
    const struct mu_world outside = {.host = "simulation", .process = 1};
    if (!given->out_dir)
        return mu_store_memory_open(&job->dir.store);
    MU_TRY(mu_run_dir_open(
        &job->dir, job->log, given->out_dir, given->job, &job->spec, &outside, given->resume));
    char path[2300];
    mu_format(path, sizeof(path), "%s/events.log", job->dir.path);
    job->events = fopen(path, job->given->resume ? "ae" : "we");
    return job->events ? MU_OK : mu_fail(job->log, MU_E0604, NULL, "%s cannot be opened", path);
}

static enum mu_status name_tasks(struct sim_job *job)
{
    job->task = calloc((size_t)job->spec.task_count, sizeof(*job->task));
    job->name = calloc((size_t)job->spec.task_count, sizeof(*job->name));
    if (!job->task || !job->name)
        return MU_NO_MEMORY;
    for (int i = 0; i < job->spec.task_count; i++) {
        mu_task_name(&job->spec.task[i], job->task[i].name, sizeof(job->task[i].name));
        job->name[i] = job->task[i].name;
    }
    return MU_OK;
}

static const char *given_out(const struct sim_job *job)
{
    return job->given->out_dir ? job->dir.path : NULL;
}

/* Of a step, leaving out the tail. */
static int64_t longest_ns(const struct mu_sim_compute *compute)
{
    double factor = compute->straggle_fraction > 0 ? compute->straggle_factor : 1;
    double ns = (double)compute->mean_ns * factor;
    return ns < (double)MU_SIM_COMPUTE_NS_MAX ? (int64_t)ns : MU_SIM_COMPUTE_NS_MAX;
}

static enum mu_status start_task(struct sim_job *job, int i)
{
    struct sim_task *task = &job->task[i];
    struct mu_world *world = mu_sim_task_world(job->sim, i);
    task->spec = job->spec;
    task->spec.self = i;
    task->run = (struct mu_task_run){
        .world = world,
        .log = mu_sim_task_log(job->sim, i),
        .spec = &task->spec,
        .job = job->given->job,
        .data = &job->data,
        .out_dir = given_out(job),
        .resume = job->given->resume,
        .inherited_fd = -1,
        .timeouts = mu_task_timeouts_default,
    };
    task->status = MU_UNAVAILABLE;
    task->run.newest_before = mu_task_newest(job->dir.store);
    /* A step that is meant to take long does not hang. */
    task->run.timeouts.step_ns += 20 * longest_ns(&job->given->compute);
    if (mu_task_reads_test(&task->spec)) /* the leader saves, the evaluator looks at it */
        world->store = job->given->store ? job->given->store : job->dir.store;
    if (i == job->spec.leader)
        task->run.go_on = job->given->go_on;
    if (job->given->restart_ns > 0 && job->given->restarted == i)
        MU_TRY(mu_sim_restart(job->sim, i, job->given->restart_ns, "main again", run_task, task));
    return mu_sim_start(job->sim, i, "main", run_task, task);
}

static enum mu_status simulate(struct sim_job *job)
{
    const struct mu_sim_job *given = job->given;
    MU_TRY(make_spec(job));
    MU_TRY(open_outputs(job));
    MU_TRY(name_tasks(job));
    MU_TRY(mu_task_data_open(given->job, true, true, job->log, &job->data));
    const struct mu_sim_options options = {
        .tasks = job->spec.task_count,
        .names = job->name,
        .seed = given->seed,
        .compute = given->compute,
        .link_bits_per_second = given->link_bits_per_second,
        .link_latency_ns = given->link_latency_ns,
        .events = job->events,
        .level = job->log->level,
        .also = job->log,
        .faults = given->faults,
    };
    MU_TRY(mu_sim_create(&options, job->log, &job->sim));
    for (int i = 0; i < job->spec.task_count; i++)
        MU_TRY(start_task(job, i));
    MU_TRY(mu_sim_run(job->sim));
    for (int i = 0; given->statuses && i < job->spec.task_count; i++)
        given->statuses[i] = job->task[i].status;
    return job->task[job->spec.leader].status;
}

enum mu_status mu_sim_job_run(const struct mu_sim_job *simulated, struct mu_log *log)
{
    struct sim_job job = {.given = simulated, .log = log};
    enum mu_status status = simulate(&job);
    mu_sim_destroy(job.sim);
    if (job.events)
        fclose(job.events);
    mu_task_data_close(simulated->job, &job.data);
    mu_run_dir_close(&job.dir);
    mu_spec_finish(&job.spec);
    free(job.task);
    free(job.name);
    return status;
}
