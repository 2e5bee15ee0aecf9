/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/task.h"
#include "runtime/base/store.h"
#include <stdio.h>
#include <string.h>

const struct mu_task_timeouts mu_task_timeouts_default = {
    .start_ns = 120 * MU_SECOND,
    .step_ns = 60 * MU_SECOND,
    .dead_ns = 5 * MU_SECOND,
    .heartbeat_ns = 100 * MU_MS,
};

/* Who only tests has the training data for as long as it takes to see what they are. */
static enum mu_status match_alone(
    const struct mu_job *job, struct mu_log *log, struct mu_task_data *data)
{
    void *train;
    struct mu_dataset_facts facts;
    MU_TRY(job->dataset->open(job->dataset_options, MU_SPLIT_TRAIN, log, &train, &facts));
    enum mu_status status = job->dataset->match(data->test, train, log, &data->test_facts);
    job->dataset->close(train);
    return status;
}

static enum mu_status open_test(
    const struct mu_job *job, struct mu_log *log, struct mu_task_data *data)
{
    const struct mu_dataset_ops *dataset = job->dataset;
    MU_TRY(dataset->open(job->dataset_options, MU_SPLIT_TEST, log, &data->test, &data->test_facts));
    if (!dataset->match)
        return MU_OK;
    return data->train ? dataset->match(data->test, data->train, log, &data->test_facts)
                       : match_alone(job, log, data);
}

enum mu_status mu_task_data_open(const struct mu_job *job, bool train, bool test,
    struct mu_log *log, struct mu_task_data *ret_data)
{
    *ret_data = (struct mu_task_data){0};
    enum mu_status status = MU_OK;
    if (train)
        status = job->dataset->open(
            job->dataset_options, MU_SPLIT_TRAIN, log, &ret_data->train, &ret_data->train_facts);
    if (status == MU_OK && test)
        status = open_test(job, log, ret_data);
    if (status != MU_OK)
        mu_task_data_close(job, ret_data);
    return status;
}

enum mu_status mu_task_data_find(const struct mu_job *job, struct mu_log *log)
{
    if (!job->dataset->find)
        return MU_OK;
    MU_TRY(job->dataset->find(job->dataset_options, MU_SPLIT_TRAIN, log));
    return job->dataset->find(job->dataset_options, MU_SPLIT_TEST, log);
}

void mu_task_data_close(const struct mu_job *job, struct mu_task_data *data)
{
    job->dataset->close(data->train);
    job->dataset->close(data->test);
    *data = (struct mu_task_data){0};
}

bool mu_task_reads_train(const struct mu_spec *spec)
{
    return spec->task[spec->self].replica >= 0;
}

bool mu_task_reads_test(const struct mu_spec *spec)
{
    return spec->self == spec->leader || spec->task[spec->self].role == MU_ROLE_EVALUATOR;
}

int64_t mu_task_newest(struct mu_store *store)
{
    int64_t newest;
    return store && store->ops->list(store, &newest, 1) > 0 ? newest : -1;
}

enum mu_status mu_task_events_open(
    const struct mu_task_run *run, int64_t resume_step, struct mu_event_file **ret_events)
{
    struct mu_world *world = run->world;
    const struct mu_task *self = &run->spec->task[run->spec->self];
    char path[1024];
    mu_format(
        path, sizeof(path), "%s/tb/%s-%d", run->out_dir, mu_role_name(self->role), self->index);
    const struct mu_event_file_options options = {
        .directory = path,
        .host = world->host,
        .process = world->process,
        .wall_ns = world->ops->wall_ns(world),
        .resume_step = resume_step,
    };
    return mu_event_file_open(run->log, &options, ret_events);
}

enum mu_status mu_task_run(struct mu_task_run *run)
{
    switch (run->spec->task[run->spec->self].role) {
    case MU_ROLE_PS:
        return mu_ps_role_run(run);
    case MU_ROLE_EVALUATOR:
        return mu_evaluator_run(run);
    default:
        return mu_replica_run(run);
    }
}
