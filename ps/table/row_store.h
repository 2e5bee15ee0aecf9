/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_ROW_STORE_H
#define MU_PS_ROW_STORE_H

#include "muster/optimizer.h"
#include "muster/policy.h"
#include "ps/table/table.h"
#include "runtime/tensor/unique.h"

/*
 * The embedding rows of one server and what is done with them: the counterpart of a shard
 * (ps/shard.h) for parameters that are addressed by id. A gradient is rows; a row is created when
 * the first gradient of it is applied, unless the table is dense, and reading changes nothing, so
 * that the state follows from the gradients alone.
 */
struct mu_row_store_options {
    size_t width;
    size_t push_max;    /* rows of one gradient, or of one reading */
    size_t gather_max;  /* gradients that are gathered for one step; 0: none are */
    size_t row_limit;   /* as in ps/table/table.h */
    uint64_t dense_ids; /* as in ps/table/table.h; 0: rows begin with their first gradient */
    int order, server_count;
    bool by_range; /* as in ps/table/table.h */
    uint64_t seed;
    void (*init_row)(const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_row);
    const void *owner;
    const struct mu_optimizer_ops *optimizer;
    const void *optimizer_options;
    float weight_decay;
    bool adapts; /* a policy that corrects keeps something of its own with each row */
};

struct mu_row_store {
    struct mu_row_store_options options;
    struct mu_table *table; /* NULL: the model has no embedding table */
    float **row;            /* (rows_max): of one step */
    const float **there;    /* (push_max): of one reading */
    struct mu_unique gathered;
    float *sums; /* (rows_max, width): of the gathered rows */
};

/* Rows that a step may touch: what row_limit must have room for. */
static inline size_t mu_row_store_step_max(const struct mu_row_store_options *options)
{
    return options->push_max * (options->gather_max > 0 ? options->gather_max : 1);
}

/* NO_MEMORY. All but the table itself is allocated here; a dense one is still to be laid. */
enum mu_status mu_row_store_init(
    struct mu_row_store *store, const struct mu_row_store_options *options);
void mu_row_store_finish(struct mu_row_store *store); /* takes a zeroed one */

/* Of memory, the table left out. */
uint64_t mu_row_store_bytes(const struct mu_row_store *store);

/* What a step is besides its rows. */
struct mu_row_step {
    float learning_rate, gradient_scale;
    int64_t step; /* 1 for the first */
};

/* One step over the rows of one gradient; ids all different. NO_MEMORY: nothing has changed. */
enum mu_status mu_row_store_apply(struct mu_row_store *store, const uint64_t *ids, size_t count,
    const float *gradients, const struct mu_row_step *step);
/* The same for ids that were read before: `where` (count) as that reading left it, or NULL. */
enum mu_status mu_row_store_apply_where(struct mu_row_store *store, const uint64_t *ids,
    const uint32_t *where, size_t count, const float *gradients, const struct mu_row_step *step);
/* How gradients are corrected, row by row, before the optimizer sees them. */
struct mu_row_correction {
    void (*correct)(const void *options, const struct mu_correct_block *block);
    const void *options;
    const float *const *seen; /* (count): of each row, what its gradient was computed with */
};
/* The same with gradients that are corrected first, where they are; `correction` NULL: not so. */
enum mu_status mu_row_store_apply_corrected(struct mu_row_store *store, const uint64_t *ids,
    const uint32_t *where, size_t count, float *gradients, const struct mu_row_step *step,
    const struct mu_row_correction *correction);
/* Adds gradients * scale, row by row, to what is gathered. */
void mu_row_store_gather(struct mu_row_store *store, const uint64_t *ids, size_t count,
    const float *gradients, float scale);
/* One step over what was gathered. */
enum mu_status mu_row_store_apply_gathered(
    struct mu_row_store *store, const struct mu_row_step *step);

/* Parameters (count, width) as they are; of a row that is not there, what it would begin with. And
 * where (count) the rows were found, for apply. */
void mu_row_store_read_where(struct mu_row_store *store, const uint64_t *ids, size_t count,
    float *ret_values, uint32_t *ret_where);

#endif
