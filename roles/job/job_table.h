/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_JOB_TABLE_H
#define MU_ROLES_JOB_TABLE_H

#include "ps/server/server.h"
#include "roles/job/job.h"

/* What one of `server_count` parameter servers must know of the embedding table of a job's model;
 * all zero if it has none. The job is borrowed. CONFIG: the model does not fit the data. */
enum mu_status mu_job_table(const struct mu_job *job, const struct mu_dataset_facts *facts,
    int server_count, struct mu_log *log, struct mu_ps_rows_options *ret_rows);

/* How its rows are split over servers, of ids below `id_count` where the data say that. */
struct mu_row_split mu_job_row_split(const struct mu_job *job, uint64_t id_count, int server_count);

/* What can be said of the table before the data are read: has every server room for what one step
 * may touch? CONFIG, said. */
enum mu_status mu_job_table_fit(
    struct mu_log *log, const struct mu_job *job, int replica_count, int ps_count);

/* May the table be as mode.rows and mode.row_split say? CONFIG, said. */
enum mu_status mu_job_table_check(
    const struct mu_job *job, const struct mu_dataset_facts *facts, struct mu_log *log);

#endif
