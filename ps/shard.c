/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/shard.h"
#include "runtime/optim/tensors.h"
#include <string.h>

/* Gradient, parameters and all slots of a block fit in a level-2 cache together. */
#define BLOCK_ELEMENTS ((size_t)4096)

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
            mu_arena_init(&shard->vectors[i], span.count ? span.count : MU_VIEW_ALIGN);
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
    *shard = (struct mu_shard){0};
}

static void apply_block(
    const struct mu_shard *shard, struct mu_optim_step step, size_t first, float *gradient)
{
    step.parameters = shard->vectors[0].data + first;
    step.gradients = gradient;
    for (int i = 1; i < shard->vector_count; i++)
        step.slots[i - 1] = shard->vectors[i].data + first;
    mu_tensors_step(shard->optimizer, shard->optimizer_options, shard->layout,
        shard->span.first + first, &step);
    memcpy(gradient, step.parameters, step.count * sizeof(float));
}

void mu_shard_apply(
    struct mu_shard *shard, float *buffer, float gradient_scale, float learning_rate)
{
    struct mu_optim_step step = {
        .learning_rate = learning_rate,
        .weight_decay = shard->weight_decay,
        .gradient_scale = gradient_scale,
        .step = shard->version + 1,
    };
    size_t most = shard->optimizer->by_tensor ? shard->span.count : BLOCK_ELEMENTS;
    for (size_t first = 0; first < shard->span.count; first += step.count) {
        size_t left = shard->span.count - first;
        step.count = left < most ? left : most;
        apply_block(shard, step, first, buffer + first);
    }
    shard->version++;
}

void mu_shard_copy(const struct mu_shard *shard, float *buffer)
{
    memcpy(buffer, shard->vectors[0].data, shard->span.count * sizeof(float));
}
