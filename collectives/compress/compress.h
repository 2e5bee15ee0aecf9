/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_COMPRESS_H
#define MU_COLLECTIVES_COMPRESS_H

#include "collectives/compress/compressor.h"

/* The drivers behind the registry, and what several of them do. Others use the registry. */
extern const struct mu_compressor_ops mu_compress_none, mu_compress_bf16, mu_compress_fp16,
    mu_compress_topk, mu_compress_randomk, mu_compress_onebit, mu_compress_powersgd;

/* One exchange of one bucket. */
struct mu_compress_call {
    struct mu_group *group;
    int64_t deadline_ns;
    int *ret_rank;
    uint64_t *sent_bytes; /* grows */
};

/* x = its sum over the group; travels as `wire`: FLOAT32 or a half type. */
enum mu_status mu_compress_sum(
    const struct mu_compress_call *call, float *x, size_t count, enum mu_dtype wire);
/* `parts`: of every rank `counts` words of 32 bits, one after the other; ours are there already. */
enum mu_status mu_compress_gather(
    const struct mu_compress_call *call, void *parts, const size_t counts[]);

/* Puts zeros where x is not finite. Was there anything? */
bool mu_compress_scrub(float *x, size_t count);

/* The part of view `view` that lies in `span`; it may be empty. */
struct mu_span mu_compress_piece(const struct mu_layout *layout, int view, struct mu_span span);

/* Options of the drivers that send some of the elements. */
struct mu_compress_density {
    double density;
    int64_t warmup_steps;
};
extern const struct mu_option mu_compress_density_rows[];
/* How many of `count` are sent at this step: at least one of any. */
size_t mu_compress_density_count(
    const struct mu_compress_density *density, size_t count, int64_t step);
/* The most that will ever be. */
size_t mu_compress_density_most(const struct mu_compress_density *density, size_t count);

#endif
