/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress.h"
#include <stdlib.h>

/* The all-reduce as it is, and with half types on the wire: those are narrowed at each hop and
 * added in float32 (see request.h), and nothing is kept for later. */
struct half {
    enum mu_dtype wire;
    uint64_t sent_bytes;
};

static enum mu_status open_as(enum mu_dtype wire, void **ret_state)
{
    struct half *half = calloc(1, sizeof(*half));
    if (!half)
        return MU_NO_MEMORY;
    half->wire = wire;
    *ret_state = half;
    return MU_OK;
}

static enum mu_status open_none(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    return open_as(MU_FLOAT32, ret_state);
}

static enum mu_status open_bf16(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    return open_as(MU_BFLOAT16, ret_state);
}

static enum mu_status open_fp16(const void *options, const struct mu_layout *layout, uint64_t seed,
    struct mu_group *group, float *residual, void **ret_state)
{
    return open_as(MU_FLOAT16, ret_state);
}

static enum mu_status allreduce(void *state, struct mu_group *group, struct mu_span span,
    float *data, int64_t step, int64_t deadline_ns, int *ret_rank)
{
    struct half *half = state;
    struct mu_compress_call call = {group, deadline_ns, ret_rank, &half->sent_bytes};
    return mu_compress_sum(&call, data, span.count, half->wire);
}

static uint64_t sent_bytes(const void *state)
{
    const struct half *half = state;
    return half->sent_bytes;
}

static const struct mu_option no_options[] = {{.name = NULL}};

const struct mu_compressor_ops mu_compress_none = {
    .name = "none",
    .doc = "float32, whole",
    .options = no_options,
    .open = open_none,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = free,
};

const struct mu_compressor_ops mu_compress_bf16 = {
    .name = "bf16",
    .doc = "bfloat16 on the wire: the range of float32 with 8 bits of precision",
    .options = no_options,
    .open = open_bf16,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = free,
};

const struct mu_compressor_ops mu_compress_fp16 = {
    .name = "fp16",
    .doc = "float16 on the wire: 11 bits of precision; sums over 65504 are no numbers",
    .options = no_options,
    .sum_max = 65504,
    .open = open_fp16,
    .allreduce = allreduce,
    .sent_bytes = sent_bytes,
    .close = free,
};
