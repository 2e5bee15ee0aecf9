/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_OPTIMIZER_H
#define MUSTER_OPTIMIZER_H

#include "muster/option.h"
#include <stddef.h>
#include <stdint.h>

#define MU_SLOTS_MAX 4

/*
 * One step over one span. All pointers are to the span's first element, 64-byte aligned, and each
 * element is updated on its own: a span may be cut anywhere (at multiples of 16 elements) and the
 * parts stepped by different processes with bit-equal results.
 */
struct mu_optim_step {
    size_t count;
    float *parameters;
    const float *gradients;
    float *slots[MU_SLOTS_MAX];
    float learning_rate;  /* after the schedule */
    float weight_decay;   /* L2: added to the gradient as weight_decay * parameter (decoupled for
                             adamw) */
    float gradient_scale; /* multiplies every gradient first: clipping, policies */
    int64_t step;         /* 1 for the first */
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
    /* May be NULL: mu_optim_step_rows (runtime/optim/rows.h) then calls `step` for each row. */
    void (*step_rows)(const void *options, const struct mu_optim_rows *rows);
};

#endif
