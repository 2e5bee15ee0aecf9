/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/shard.h"
#include "runtime/optim/tensors.h"
#include "runtime/optim/usable.h"
#include <stdatomic.h>
#include <string.h>

/* Gradient, parameters and all slots of a block fit in a level-2 cache together. */
#define BLOCK_ELEMENTS ((size_t)4096)

/* What a thread takes of a large span at once. */
#define PIECE_ELEMENTS (4 * BLOCK_ELEMENTS)

static_assert(BLOCK_ELEMENTS % MU_VIEW_ALIGN == 0, "a block starts where an optimizer may start");

enum mu_status mu_shard_init(struct mu_shard *shard, struct mu_span span,
    const struct mu_optimizer_ops *optimizer, const void *optimizer_options, double weight_decay)
{
    assert(optimizer->slot_count >= 0 && optimizer->slot_count <= MU_SLOTS_MAX);
    *shard = (struct mu_shard){
        .span = span,
        .optimizer = optimizer,
        .optimizer_options = optimizer_options,
        .weight_decay = (float)weight_decay,
        .vector_count = 1 + optimizer->slot_count,
    };
    for (int i = 0; i < shard->vector_count; i++) {
        /* An empty span still has a place in memory. */
        enum mu_status status =
            mu_arena_reserve(&shard->vectors[i], span.count ? span.count : MU_VIEW_ALIGN);
        if (status != MU_OK) {
            mu_shard_finish(shard);
            return status;
        }
    }
    return MU_OK;
}

void mu_shard_finish(struct mu_shard *shard)
{
    for (int i = 0; i < MU_SHARD_VECTORS_MAX; i++)
        mu_arena_finish(&shard->vectors[i]);
    mu_arena_finish(&shard->gather);
    *shard = (struct mu_shard){0};
}

/* ---- one gradient ---- */

static void correct_block(const struct mu_shard *shard, const struct mu_optim_step *step,
    size_t first, float *gradient, const struct mu_correction *correction)
{
    const struct mu_correct_block block = {
        .count = step->count,
        .gradients = gradient,
        .scale = step->gradient_scale,
        .parameters = shard->vectors[0].data + first,
        .seen = correction->seen + first,
        .mean_square = correction->mean_square + first,
    };
    correction->correct(correction->options, &block);
}

static void apply_block(const struct mu_shard *shard, struct mu_optim_step step, size_t first,
    float *gradient, const struct mu_correction *correction)
{
    if (correction) {
        correct_block(shard, &step, first, gradient, correction);
        step.gradient_scale = 1;
    }
    step.parameters = shard->vectors[0].data + first;
    step.gradients = gradient;
    for (int i = 1; i < shard->vector_count; i++)
        step.slots[i - 1] = shard->vectors[i].data + first;
    mu_tensors_step(shard->optimizer, shard->optimizer_options, shard->layout,
        shard->span.first + first, &step);
}

/* What a piece of a large span needs to know. */
struct update {
    const struct mu_shard *shard;
    struct mu_optim_step step;
    float *gradient, *fresh;
    const struct mu_correction *correction;
};

static void apply_span(const struct update *update, struct mu_span span, size_t most)
{
    const struct mu_shard *shard = update->shard;
    struct mu_optim_step step = update->step;
    for (size_t first = span.first; first < span.first + span.count; first += step.count) {
        size_t left = span.first + span.count - first;
        step.count = left < most ? left : most;
        apply_block(shard, step, first, update->gradient + first, update->correction);
        if (update->fresh) /* while they are in the cache */
            memcpy(
                update->fresh + first, shard->vectors[0].data + first, step.count * sizeof(float));
    }
}

static struct mu_span piece_of(const struct mu_shard *shard, size_t index)
{
    size_t first = index * PIECE_ELEMENTS, left = shard->span.count - first;
    return (struct mu_span){first, left < PIECE_ELEMENTS ? left : PIECE_ELEMENTS};
}

static size_t piece_count(const struct mu_shard *shard)
{
    return (shard->span.count + PIECE_ELEMENTS - 1) / PIECE_ELEMENTS;
}

static struct mu_helper *helper_of(const struct mu_shard *shard)
{
    return shard->span.count >= MU_SHARD_HELPED_MIN ? shard->helper : NULL;
}

static void apply_piece(void *owner, size_t index)
{
    const struct update *update = owner;
    apply_span(update, piece_of(update->shard, index), BLOCK_ELEMENTS);
}

void mu_shard_apply_corrected(struct mu_shard *shard, float *gradient, float gradient_scale,
    float learning_rate, const struct mu_correction *correction, float *fresh)
{
    struct update update = {
        .shard = shard,
        .step = {.learning_rate = learning_rate,
            .weight_decay = shard->weight_decay,
            .gradient_scale = gradient_scale,
            .step = shard->version + 1},
        .gradient = gradient,
        .fresh = fresh,
        .correction = correction,
    };
    size_t count = shard->span.count;
    if (shard->optimizer->by_tensor)
        apply_span(&update, (struct mu_span){0, count}, count);
    else
        mu_helper_run(helper_of(shard), piece_count(shard), apply_piece, &update);
    shard->version++;
}

void mu_shard_apply(
    struct mu_shard *shard, float *buffer, float gradient_scale, float learning_rate)
{
    mu_shard_apply_corrected(shard, buffer, gradient_scale, learning_rate, NULL, buffer);
}

/* ---- several gradients ---- */

enum mu_status mu_shard_make_room(struct mu_shard *shard)
{
    return mu_arena_reserve(&shard->gather, shard->span.count ? shard->span.count : MU_VIEW_ALIGN);
}

void mu_shard_gather(struct mu_shard *shard, const float *gradient, float scale)
{
    float *sum = shard->gather.data;
    assert(sum);
    if (shard->gathered == 0)
        memset(sum, 0, shard->span.count * sizeof(float));
    for (size_t i = 0; i < shard->span.count; i++)
        sum[i] += scale * gradient[i];
    shard->gathered++;
}

void mu_shard_apply_gathered(struct mu_shard *shard, float learning_rate)
{
    assert(shard->gathered > 0);
    mu_shard_apply_corrected(
        shard, shard->gather.data, 1 / (float)shard->gathered, learning_rate, NULL, NULL);
    shard->gathered = 0;
}

/* ---- looking ---- */

struct look {
    const struct mu_shard *shard;
    const float *gradient;
    float limit;
    atomic_bool found;
};

static void look_at_piece(void *owner, size_t index)
{
    struct look *look = owner;
    struct mu_span span = piece_of(look->shard, index);
    if (!mu_usable_are(look->gradient + span.first, span.count, look->limit))
        atomic_store_explicit(&look->found, true, memory_order_relaxed);
}

bool mu_shard_takes(const struct mu_shard *shard, const float *gradient, float limit)
{
    struct look look = {.shard = shard, .gradient = gradient, .limit = limit};
    mu_helper_run(helper_of(shard), piece_count(shard), look_at_piece, &look);
    return !atomic_load_explicit(&look.found, memory_order_relaxed);
}

void mu_shard_copy(const struct mu_shard *shard, float *buffer)
{
    memcpy(buffer, shard->vectors[0].data, shard->span.count * sizeof(float));
}
