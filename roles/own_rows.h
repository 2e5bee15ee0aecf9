/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_OWN_ROWS_H
#define MU_ROLES_OWN_ROWS_H

#include "ps/table/table.h"
#include "roles/checkpoint/saved_rows.h"
#include "roles/job/job.h"
#include "runtime/tensor/unique.h"

/*
 * The embedding table of a process that needs no server for it: of a replica that trains alone, and
 * of the evaluator. Brings the rows of a batch beside it, and takes the optimizer's step over them.
 * For models without a table all of it does nothing.
 */
struct mu_own_rows {
    const struct mu_job *job;
    struct mu_log *log;
    uint64_t dense_ids; /* 0: rows begin at first touch */
    size_t width;       /* 0: the model has no table */
    int slot_count;
    struct mu_table *table;
    struct mu_unique unique; /* of batches that come without their different ids */
    uint32_t *of_entry;      /* (entry_max); so here */
    struct mu_ids different; /* of the last batch: its own, or those */
    float **row;             /* (entry_max) */
    const float **there;     /* (entry_max) */
    float *value, *gradient; /* (entry_max, width) */
};

/* A new row of the job's table: as ps/table/table.h wants it, of a job. */
void mu_own_rows_init_row(
    const void *job, uint64_t seed, uint64_t id, size_t width, float *ret_parameters);

/* For batches of at most `row_max` samples. CONFIG (the model does not fit the data, or
 * mode.row_limit not a batch), NO_MEMORY. */
enum mu_status mu_own_rows_open(struct mu_own_rows *rows, const struct mu_job *job,
    const struct mu_dataset_facts *facts, size_t row_max, struct mu_log *log);
/* The same for rows without the optimizer's slots, which are only looked at. */
enum mu_status mu_own_rows_open_for_eval(struct mu_own_rows *rows, const struct mu_job *job,
    const struct mu_dataset_facts *facts, size_t row_max, struct mu_log *log);
void mu_own_rows_close(struct mu_own_rows *rows); /* takes a zeroed one */

/* Sets batch->rows from its entries, and from its different ids if it has them; new ids get new
 * rows. NO_MEMORY. */
enum mu_status mu_own_rows_bring(
    struct mu_own_rows *rows, struct mu_batch *batch, struct mu_log *log);
/* The same for an evaluation: the table stays as it is. Fits struct mu_row_source. */
enum mu_status mu_own_rows_look(void *rows, struct mu_batch *batch);
/* The optimizer's step over the rows of the last bring, with the gradients that backward left. Only
 * the numbers of `step` are looked at. */
void mu_own_rows_update(struct mu_own_rows *rows, const struct mu_optim_step *step);
int64_t mu_own_rows_count(const struct mu_own_rows *rows); /* -1: the model has no table */
/* Squares of those gradients, for clipping. */
double mu_own_rows_square_sum(const struct mu_own_rows *rows);

/* ---- checkpoints; of a model with a table ---- */

/* Copies all rows. NO_MEMORY. */
enum mu_status mu_own_rows_save(const struct mu_own_rows *rows, struct mu_saved_rows *saved);
/* One row with its slots. Fits struct mu_row_writer. NO_MEMORY; CONFIG: a dense table has no room
 * for the id, which is said. */
enum mu_status mu_own_rows_put(void *rows, uint64_t id, const float *row);
enum mu_status mu_own_rows_clear(struct mu_own_rows *rows); /* no row is left. NO_MEMORY */
/* What mu_saved_rows_crc32c of all rows is; without a table *crc stays as it is. NO_MEMORY. */
enum mu_status mu_own_rows_crc32c(const struct mu_own_rows *rows, uint32_t *crc);

#endif
