/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_COMPRESSOR_H
#define MU_COLLECTIVES_COMPRESSOR_H

#include "collectives/group.h"
#include "muster/option.h"
#include "runtime/base/log.h"

/*
 * Fewer bytes: how a gradient is summed over a group, approximately. With error feedback
 * (Seide 2014, Karimireddy 2019) what a step leaves out stays in a residual and is added to the
 * next gradient, so that nothing is lost, only late.
 *
 * All replicas end with the same bits. A driver sees the whole gradient's layout once, and then one
 * bucket (a span of it) at a time, always the same spans in the same order.
 */
struct mu_compressor_ops {
    const char *name; /* "none", "bf16", "fp16", "topk", "randomk", "onebit", "powersgd" */
    const char *doc;
    const struct mu_option *options; /* ended by a row without name */
    size_t option_bytes;
    bool has_residual; /* a vector as long as the gradient, of each replica, part of a checkpoint */
    size_t
        state_count; /* floats beside the residual that are equal on all replicas: powersgd's Q */

    /* `residual` (element_count zeros, or restored) is the caller's; NULL if it has none. */
    enum mu_status (*open)(const void *options, const struct mu_layout *layout, uint64_t seed,
        struct mu_group *group, float *residual, void **ret_state);
    /* `data`: elements `span` of the gradient, replaced by the sum over the group. `step` counts
     * optimizer steps. Fails as mu_group_run. */
    enum mu_status (*allreduce)(void *state, struct mu_group *group, struct mu_span span,
        float *data, int64_t step, int64_t deadline_ns, int *ret_rank);
    /* Bytes that a replica has sent so far, by what it has been asked to exchange. */
    uint64_t (*sent_bytes)(const void *state);
    void (*close)(void *state);
};

/* NULL-terminated; "none" first. */
extern const struct mu_compressor_ops *const mu_compressors[];

#endif
