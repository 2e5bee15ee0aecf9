/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SHARD_H
#define MU_PS_SHARD_H

#include "muster/optimizer.h"
#include "muster/policy.h"
#include "muster/tensor.h"
#include "ps/helper.h"
#include "runtime/tensor/arena.h"
#include <stdbool.h>

/*
 * The state of one server: the parameters of its span, the optimizer's slots, and the version,
 * which counts the updates since the start of training. Vector 0 is the parameters, vector
 * 1 + i is slot i.
 *
 * An update goes over the span in blocks that stay in the cache:
 *
 *   gradient  | block | block | ...        the optimizer's step on a block
 *   parameters| block | block | ...        then the block as it is now, copied over its gradient
 *
 * so that the buffer that brought a gradient leaves with the fresh parameters (or they go where the
 * worker reads them), and a reply costs no second pass over memory. The blocks are independent of
 * each other: a helper takes some of them. An optimizer that is by_tensor gets, instead of blocks,
 * the parts of tensors that lie in the span; its norms are those of the parts.
 */
#define MU_SHARD_VECTORS_MAX (1 + MU_SLOTS_MAX)

struct mu_shard {
    struct mu_span span; /* of the whole vector */
    const struct mu_optimizer_ops *optimizer;
    const void *optimizer_options;
    const struct mu_layout *layout; /* of the whole vector, borrowed; NULL: not known */
    float weight_decay;
    int64_t version;
    int vector_count; /* 1 + slots */
    struct mu_arena vectors[MU_SHARD_VECTORS_MAX];
    struct mu_arena gather;   /* the sum of the gradients of the next step; empty without a room */
    int gathered;             /* how many they are */
    struct mu_helper *helper; /* borrowed; NULL: none. For spans of MU_SHARD_HELPED_MIN and more */
};
#define MU_SHARD_HELPED_MIN ((size_t)128 << 10) /* elements: half a megabyte */

/* How a gradient is corrected, block by block, before the optimizer sees it. */
struct mu_correction {
    void (*correct)(const void *options, const struct mu_correct_block *block);
    const void *options;
    const float *seen; /* (span.count) */
    float *mean_square;
};

/* Zeros, version 0, and a layout that is not known: then every optimizer works element by element.
 * The vectors, and the room for gathering, are reserved: who counts on them touches them (arena.h).
 * NO_MEMORY. The options are borrowed. */
enum mu_status mu_shard_init(struct mu_shard *shard, struct mu_span span,
    const struct mu_optimizer_ops *optimizer, const void *optimizer_options, double weight_decay);
void mu_shard_finish(struct mu_shard *shard); /* takes a zeroed one */

/* One step of the optimizer with buffer * gradient_scale, then the version goes up by one. `buffer`
 * (span.count) holds the gradient before and the fresh parameters after. Bit-equal with one step
 * over the whole vector. Allocates nothing. */
void mu_shard_apply(
    struct mu_shard *shard, float *buffer, float gradient_scale, float learning_rate);
/* The same with a gradient that is corrected first, where it is, unless `correction` is NULL; the
 * fresh parameters go to `fresh` (span.count), which may be `gradient`, or nowhere if it is NULL.
 */
void mu_shard_apply_corrected(struct mu_shard *shard, float *gradient, float gradient_scale,
    float learning_rate, const struct mu_correction *correction, float *fresh);

/* Room for gathering; once, before the first gradient. NO_MEMORY. */
enum mu_status mu_shard_make_room(struct mu_shard *shard);
/* Adds gradient * scale to what is gathered. Parameters and version stay. */
void mu_shard_gather(struct mu_shard *shard, const float *gradient, float scale);
/* One step with the mean of what was gathered, at least one gradient. */
void mu_shard_apply_gathered(struct mu_shard *shard, float learning_rate);

/* mu_usable_are of a whole gradient, with the helper. */
bool mu_shard_takes(const struct mu_shard *shard, const float *gradient, float limit);

/* The parameters as they are; the gradient in `buffer`, if there was one, is lost. */
void mu_shard_copy(const struct mu_shard *shard, float *buffer);

#endif
