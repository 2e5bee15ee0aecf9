/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_table.h"
#include "roles/own_rows.h"

enum mu_status mu_job_table_check(
    const struct mu_job *job, const struct mu_dataset_facts *facts, struct mu_log *log)
{
    if (job->mode.rows != MU_ROWS_DENSE)
        return MU_OK;
    if (job->mode.row_limit > 0)
        return mu_fail(log, MU_E0204, "leave out one of them",
            "mode.rows `dense` keeps all embedding rows, and mode.row_limit %lld of them",
            (long long)job->mode.row_limit);
    if (facts->id_count == 0)
        return mu_fail(log, MU_E0204, "leave out mode.rows: rows begin at first touch then",
            "mode.rows `dense` needs to know how many ids there are, which data `%s` cannot say",
            job->dataset->name);
    return MU_OK;
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
        .row_limit = ((size_t)job->mode.row_limit + servers - 1) / servers,
        .seed = (uint64_t)job->train.seed,
        .init_row = mu_own_rows_init_row,
        .owner = job,
    };
    MU_TRY(mu_job_table_check(job, facts, log));
    ret_rows->dense = job->mode.rows == MU_ROWS_DENSE;
    return job->model->row_width(job->model_options, facts, log, &ret_rows->width);
}
