/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_table.h"
#include "ps/table/row_store.h"
#include "roles/own_rows.h"

static enum mu_status check_limit(const struct mu_job *job, struct mu_log *log)
{
    if (job->mode.rows != MU_ROWS_DENSE || job->mode.row_limit == 0)
        return MU_OK;
    return mu_fail(log, MU_E0204, "leave out one of them",
        "mode.rows `dense` keeps all embedding rows, and mode.row_limit %lld of them",
        (long long)job->mode.row_limit);
}

/* What would change nothing is not what somebody meant. */
static enum mu_status check_none(const struct mu_job *job, struct mu_log *log)
{
    const char *key = job->mode.row_limit != 0                    ? "row_limit"
                      : job->mode.rows == MU_ROWS_DENSE           ? "rows"
                      : job->mode.row_split == MU_ROW_SPLIT_RANGE ? "row_split"
                                                                  : NULL;
    if (!key)
        return MU_OK;
    return mu_fail(log, MU_E0204, "leave it out, or use a model with embedding rows",
        "mode.%s is for embedding rows, and model `%s` has none", key, job->model->name);
}

/* Of a server, or of the only replica. */
static size_t row_limit_of(const struct mu_job *job, size_t servers)
{
    return ((size_t)job->mode.row_limit + servers - 1) / servers;
}

static size_t gathered_max(const struct mu_job *job, int replica_count)
{
    const struct mu_ps_plan plan = mu_job_ps_plan(job, replica_count, 1);
    return (size_t)mu_ps_plan_gathered_max(&plan);
}

enum mu_status mu_job_table_fit(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count)
{
    if (!job->model->row_width)
        return check_none(job, log);
    MU_TRY(check_limit(job, log));
    size_t entries = job->dataset->entries ? job->dataset->entries(job->dataset_options) : 0;
    if (job->mode.row_limit == 0 || entries == 0)
        return MU_OK;
    bool served = ps_count > 0 && mu_job_uses_servers(job, replica_count, ps_count);
    const struct mu_row_store_options step = {.push_max = (size_t)job->data.batch * entries,
        .gather_max = served ? gathered_max(job, replica_count) : 0};
    size_t tables = served ? (size_t)ps_count : 1, most = mu_row_store_step_max(&step);
    if (row_limit_of(job, tables) >= most)
        return MU_OK;
    return mu_fail(log, MU_E0204, "use a larger mode.row_limit, or a smaller data.batch",
        "of mode.row_limit %lld %s keeps %zu embedding rows; one step may touch %zu",
        (long long)job->mode.row_limit, served ? "each parameter server" : "the replica",
        row_limit_of(job, tables), most);
}

enum mu_status mu_job_table_check(
    const struct mu_job *job, const struct mu_dataset_facts *facts, struct mu_log *log)
{
    MU_TRY(check_limit(job, log));
    if (job->mode.rows == MU_ROWS_DENSE && facts->id_count == 0)
        return mu_fail(log, MU_E0204, "leave out mode.rows: rows begin at first touch then",
            "mode.rows `dense` needs to know how many ids there are, which data `%s` cannot say",
            job->dataset->name);
    if (job->mode.row_split == MU_ROW_SPLIT_RANGE && facts->id_count == 0)
        return mu_fail(log, MU_E0204, "leave out mode.row_split: a hash splits any ids",
            "mode.row_split `range` needs to know how many ids there are, which data `%s` cannot "
            "say",
            job->dataset->name);
    return MU_OK;
}

struct mu_row_split mu_job_row_split(const struct mu_job *job, uint64_t id_count, int server_count)
{
    return mu_row_split_by(server_count, job->mode.row_split == MU_ROW_SPLIT_RANGE, id_count);
}

enum mu_status mu_job_table(const struct mu_job *job, const struct mu_dataset_facts *facts,
    int server_count, struct mu_log *log, struct mu_ps_rows_options *ret_rows)
{
    size_t servers = (size_t)server_count;
    *ret_rows = (struct mu_ps_rows_options){0};
    if (!job->model->row_width)
        return MU_OK;
    *ret_rows = (struct mu_ps_rows_options){
        .push_max = (size_t)job->data.batch * facts->entry_max,
        .id_count = facts->id_count,
        .row_limit = row_limit_of(job, servers),
        .seed = (uint64_t)job->train.seed,
        .init_row = mu_own_rows_init_row,
        .owner = job,
    };
    MU_TRY(mu_job_table_check(job, facts, log));
    ret_rows->dense = job->mode.rows == MU_ROWS_DENSE;
    ret_rows->by_range = job->mode.row_split == MU_ROW_SPLIT_RANGE;
    return job->model->row_width(job->model_options, facts, log, &ret_rows->width);
}
