/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_COMPRESSOR_H
#define MU_COLLECTIVES_COMPRESSOR_H

#include "collectives/group.h"
#include "muster/option.h"

/*
 * Fewer bytes: how a gradient is summed over a group, approximately. With error feedback
 * (Seide 2014, Karimireddy 2019) what a step leaves out stays in a residual and is added to the
 * next gradient, so that nothing is lost, only late: over the ranks, what came out and the new
 * residuals are together what went in and the old residuals.
 *
 * All replicas end with the same bits. A driver sees the whole gradient's layout once, and then one
 * bucket (a span of it) at a time: each element once a step, the same spans in the same order on
 * all replicas. The spans may differ from step to step.
 *
 * What is not finite in a gradient comes out as something that is not finite, on all replicas and
 * at one element at least, and is never kept for later.
 *
 * What comes late comes in bursts, and momentum repeats each: drivers whose residual lives long
 * (randomk: 1/density steps; onebit) want a smaller learning rate or no momentum, see
 * docs/COLLECTIVES.md.
 *
 * A step is undone (a rank was lost in the middle of it; its gradient turned out to be useless) by
 * putting back copies of the residual and of the shared state from before its first bucket.
 */
struct mu_compressor_ops {
    const char *name; /* "none", "bf16", "fp16", "topk", "randomk", "onebit", "powersgd" */
    const char *doc;
    const struct mu_option *options; /* ended by a row without name */
    size_t option_bytes;
    float sum_max;     /* larger sums come out as infinity; 0: those that float32 has none for */
    bool has_residual; /* a vector as long as the gradient, of each replica, part of a checkpoint */

    /* `options` and `layout` are copied or not needed afterwards. `residual` (element_count zeros,
     * or restored) is the caller's, outlives the state and may be changed between steps; NULL if
     * the driver has none. `group` may be replaced by another of at most as many ranks. All that a
     * step needs is allocated here. NO_MEMORY; CONFIG: the gradient is too long for the driver,
     * group->error says so. */
    enum mu_status (*open)(const void *options, const struct mu_layout *layout, uint64_t seed,
        struct mu_group *group, float *residual, void **ret_state);
    /* `data`: elements `span` of the gradient, replaced by the sum over the group. `step` counts
     * optimizer steps, equal on all replicas. Fails as mu_group_run; the residual and the shared
     * state of the span then hold nothing of use. Blocks; on the thread that owns the group. */
    enum mu_status (*allreduce)(void *state, struct mu_group *group, struct mu_span span,
        float *data, int64_t step, int64_t deadline_ns, int *ret_rank);
    /* What is kept from step to step beside the residual and is equal on all replicas (powersgd's
     * Q): *ret_count floats, to be saved and restored; zeros are a fresh start. Its length depends
     * on the layout and the options alone. NULL: nothing. */
    float *(*shared_state)(void *state, size_t *ret_count);
    /* Bytes that this replica has sent so far, with n ranks: 2 (n-1)/n of what is all-reduced and
     * n-1 times its part of what is all-gathered. */
    uint64_t (*sent_bytes)(const void *state);
    void (*close)(void *state); /* takes NULL */
};

/* NULL-terminated; "none" first. */
extern const struct mu_compressor_ops *const mu_compressors[];

#endif
