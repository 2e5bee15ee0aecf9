/* SPDX-License-Identifier: Apache-2.0 */
#include "data/plan.h"

#include "runtime/base/random.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Global step `step` of a stretch over `left` samples: where it begins and how many it takes. */
struct cut {
    size_t first, count;
};

static struct cut cut_step(size_t left, int64_t step, int replica_count, int batch)
{
    size_t whole = (size_t)replica_count * (size_t)batch;
    size_t steps = left / whole; /* whole ones */
    struct cut cut = {.first = left, .count = 0};
    if ((size_t)step > steps)
        return cut;
    cut.first = (size_t)step * whole;
    cut.count = left - cut.first < whole ? left - cut.first : whole;
    return cut;
}

/* A replica's share of a step: the first ones have one sample more where it does not come out. */
static struct cut cut_replica(struct cut step, int replica, int replica_count)
{
    size_t each = step.count / (size_t)replica_count;
    size_t more = step.count % (size_t)replica_count;
    size_t before = (size_t)replica;
    return (struct cut){
        .first = step.first + before * each + (before < more ? before : more),
        .count = each + (before < more ? 1 : 0),
    };
}

enum mu_status mu_plan_init(struct mu_plan *plan, uint64_t seed, size_t sample_count)
{
    assert(sample_count > 0);
    assert(sample_count <= UINT32_MAX);
    uint32_t *order = malloc(sample_count * sizeof(*order));
    if (!order)
        return MU_NO_MEMORY;
    *plan =
        (struct mu_plan){.seed = seed, .sample_count = sample_count, .block = 1, .order = order};
    mu_plan_begin(plan, 0, NULL, 0, 1, 1);
    return MU_OK;
}

void mu_plan_finish(struct mu_plan *plan)
{
    free(plan->order);
    *plan = (struct mu_plan){0};
}

void mu_plan_set_block(struct mu_plan *plan, size_t block)
{
    assert(block <= MU_PLAN_BLOCK_MAX);
    plan->block = block;
}

void mu_plan_set_alone(struct mu_plan *plan, int64_t epochs)
{
    assert(epochs >= 0);
    plan->alone_epochs = epochs;
}

static void draw_blocks(struct mu_plan *plan)
{
    /* Blocks are drawn into the end of `order` and unfolded from its start. Block i of n ends at
     * block * (i + 1) at the most, which is not beyond the number of block i + 1, for the samples
     * are more than block * (n - 1). */
    size_t block = plan->block, count = plan->sample_count;
    size_t block_count = count / block + (count % block > 0), made = 0;
    uint32_t *drawn = plan->order + (count - block_count);
    mu_random_permutation(
        mu_random_mix(plan->seed, (uint64_t)plan->epoch), drawn, (uint32_t)block_count);
    for (size_t i = 0; i < block_count; i++) {
        size_t first = drawn[i] * block;
        size_t end = count - first < block ? count : first + block;
        for (size_t sample = first; sample < end; sample++)
            plan->order[made++] = (uint32_t)sample;
    }
}

static void draw_order(struct mu_plan *plan)
{
    if (plan->block > 0) {
        draw_blocks(plan);
        return;
    }
    for (size_t i = 0; i < plan->sample_count; i++)
        plan->order[i] = (uint32_t)i;
}

/* Takes out what the stretch took; what is left moves together and keeps its order. */
static void take_out(struct mu_plan *plan, const struct mu_stretch *stretch)
{
    size_t kept = 0;
    int64_t steps = mu_plan_steps(plan->left, stretch->replica_count, stretch->batch);
    for (int64_t step = 0; step < steps; step++) {
        struct cut all = cut_step(plan->left, step, stretch->replica_count, stretch->batch);
        for (int replica = 0; replica < stretch->replica_count; replica++) {
            struct cut mine = cut_replica(all, replica, stretch->replica_count);
            if (step < mu_stretch_done(stretch, plan->epoch, replica))
                continue;
            memmove(
                plan->order + kept, plan->order + mine.first, mine.count * sizeof(*plan->order));
            kept += mine.count;
        }
    }
    plan->left = kept;
}

void mu_plan_begin(struct mu_plan *plan, int64_t epoch, const struct mu_stretch *done,
    int done_count, int replica_count, int batch)
{
    assert(epoch >= 0);
    assert(done_count >= 0 && done_count <= MU_STRETCHES_MAX);
    assert(replica_count > 0 && replica_count <= MU_REPLICAS_MAX);
    assert(batch > 0);
    plan->epoch = epoch;
    draw_order(plan);
    plan->left = plan->sample_count;
    for (int i = 0; i < done_count; i++)
        take_out(plan, &done[i]);
    plan->replicas_all = replica_count;
    plan->replica_count = mu_plan_readers(plan->alone_epochs, epoch, replica_count);
    plan->batch = batch;
    plan->step_count = mu_plan_steps(plan->left, plan->replica_count, batch);
}

const uint32_t *mu_plan_samples(const struct mu_plan *plan, int64_t step, int replica,
    size_t *ret_count, size_t *ret_global_count)
{
    assert(step >= 0 && step < plan->step_count);
    assert(replica >= 0 && replica < plan->replica_count);
    struct cut all = cut_step(plan->left, step, plan->replica_count, plan->batch);
    struct cut mine = cut_replica(all, replica, plan->replica_count);
    *ret_count = mine.count;
    *ret_global_count = all.count;
    return plan->order + mine.first;
}

int64_t mu_plan_steps(size_t sample_count, int replica_count, int batch)
{
    size_t whole = (size_t)replica_count * (size_t)batch;
    return (int64_t)(sample_count / whole + (sample_count % whole > 0));
}

int64_t mu_plan_share(size_t left, int replica_count, int batch, int replica, int64_t steps)
{
    int64_t whole_steps = (int64_t)(left / ((size_t)replica_count * (size_t)batch));
    if (steps <= whole_steps)
        return steps * batch;
    struct cut last = cut_step(left, whole_steps, replica_count, batch);
    return whole_steps * batch + (int64_t)cut_replica(last, replica, replica_count).count;
}

size_t mu_plan_left(size_t left, const struct mu_stretch *done, int64_t epoch)
{
    size_t taken = 0;
    for (int replica = 0; replica < done->replica_count; replica++)
        taken += (size_t)mu_plan_share(
            left, done->replica_count, done->batch, replica, mu_stretch_done(done, epoch, replica));
    return left - taken;
}
