/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_OPTIMIZER_H
#define MUSTER_OPTIMIZER_H

#include "muster/option.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MU_SLOTS_MAX 4

/*
 * One step over one span. All pointers are to the span's first element, 64-byte aligned, and each
 * element is updated on its own: a span may be cut anywhere (at multiples of 16 elements) and the
 * parts stepped by different processes with bit-equal results. Not so with a rank of 2 or more
 * where the optimizer is `by_tensor`: then the span is taken for one whole tensor.
 */
struct mu_optim_step {
    size_t count;
    float *parameters;
    const float *gradients;
    float *slots[MU_SLOTS_MAX];
    float learning_rate;  /* after the schedule */
    float weight_decay;   /* L2: added to the gradient as weight_decay * parameter (decoupled for
                             adamw and lamb) */
    float gradient_scale; /* multiplies every gradient first: clipping, policies */
    int64_t step;         /* 1 for the first */
    int rank;             /* of the tensor that the span is; 0: of no one tensor */
};

/*
 * One step over rows of a table: each row is `width` parameters followed by `width` elements of
 * each slot, unaligned. What is not touched does not change ("lazy": moments decay only when their
 * row is touched, and weight decay acts on touched rows alone).
 */
struct mu_optim_rows {
    size_t count, width;
    float *const *row;      /* (count), all different */
    const float *gradients; /* (count, width) */
    float learning_rate, weight_decay, gradient_scale;
    int64_t step;
};

struct mu_optimizer_ops {
    const char *name; /* "momentum" */
    const char *doc;  /* one line, with the source of the method */
    const struct mu_option *options;
    size_t option_bytes;
    int slot_count;
    const char *slot_names[MU_SLOTS_MAX]; /* "momentum"; they name tensors in checkpoints */
    /* Pure arithmetic: no allocation, no failure. Slots start as zeros. */
    void (*step)(const void *options, const struct mu_optim_step *step);
    /* True: `step` scales by norms of the tensor, and is called for each on its own (by
     * mu_tensors_step of runtime/optim/tensors.h). Where a parameter server holds a part of a
     * tensor, the norms are those of its part. */
    bool by_tensor;
    /* May be NULL: mu_optim_step_rows (runtime/optim/rows.h) then calls `step` with copies of
     * rows. */
    void (*step_rows)(const void *options, const struct mu_optim_rows *rows);
};

#endif
