/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/job/job_table.h"
#include "roles/own_rows.h"

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
    return job->model->row_width(job->model_options, facts, log, &ret_rows->width);
}
