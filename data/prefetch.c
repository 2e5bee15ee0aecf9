/* SPDX-License-Identifier: Apache-2.0 */
#include "data/prefetch.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Batches are numbered from 0; batch n lives in slot n % depth.
 *
 *   taken <= given <= filled <= taken + depth
 *
 *   ... taken | held by the trainer | waiting for it | empty, the reader's | ...
 *            taken               given            filled           taken + depth
 */
#define FEATURES_ALIGN 64

struct slot {
    struct mu_prefetch_batch out;
    float *features; /* (rows_max, feature_count), within `features` of the whole */
    int32_t *labels; /* (rows_max) */
};

struct mu_prefetch {
    struct mu_prefetch_options options;
    struct mu_monitor *monitor; /* guards the counts and `stop` */
    struct mu_thread *reader;
    int64_t taken, given, filled;
    bool stop;
    int64_t step; /* the reader's: the next one to read */
    float *features;
    int32_t *labels;
    struct slot slot[];
};

static struct slot *slot_of(struct mu_prefetch *prefetch, int64_t number)
{
    return &prefetch->slot[number % prefetch->options.depth];
}

/* To the first step of the next epoch that has one. */
static void next_epoch(struct mu_prefetch *prefetch)
{
    const struct mu_prefetch_options *options = &prefetch->options;
    struct mu_plan *plan = options->plan;
    struct mu_stretch done[MU_STRETCHES_MAX];
    do {
        int64_t epoch = plan->epoch + 1;
        int done_count = options->done ? options->done(options->owner, epoch, done) : 0;
        mu_plan_begin(plan, epoch, done, done_count, plan->replica_count, plan->batch);
    } while (plan->step_count == 0);
    prefetch->step = 0;
}

static void fill(struct mu_prefetch *prefetch, struct slot *slot)
{
    const struct mu_prefetch_options *options = &prefetch->options;
    const struct mu_plan *plan = options->plan;
    if (prefetch->step >= plan->step_count)
        next_epoch(prefetch);
    size_t row_count, global_count;
    const uint32_t *index =
        mu_plan_samples(plan, prefetch->step, options->replica, &row_count, &global_count);
    options->ops->read(options->dataset, index, row_count, slot->features, slot->labels);
    slot->out = (struct mu_prefetch_batch){
        .batch = {.row_count = row_count,
            .feature_count = options->feature_count,
            .features = slot->features,
            .labels = slot->labels},
        .global_count = global_count,
        .epoch = plan->epoch,
        .step = prefetch->step,
        .last_of_epoch = prefetch->step + 1 == plan->step_count,
    };
    prefetch->step++;
}

/* Waits for an empty slot; NULL when it is time to end. */
static struct slot *wait_empty(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    enum mu_status status = MU_OK;
    world->ops->enter(world, prefetch->monitor);
    while (status == MU_OK && !prefetch->stop &&
           prefetch->filled - prefetch->taken == prefetch->options.depth)
        status = world->ops->wait(world, prefetch->monitor, MU_FOREVER);
    bool stop = prefetch->stop || status != MU_OK;
    world->ops->leave(world, prefetch->monitor);
    return stop ? NULL : slot_of(prefetch, prefetch->filled);
}

static void reader_run(void *argument)
{
    struct mu_prefetch *prefetch = argument;
    struct mu_world *world = prefetch->options.world;
    for (struct slot *slot; (slot = wait_empty(prefetch));) {
        fill(prefetch, slot);
        world->ops->enter(world, prefetch->monitor);
        prefetch->filled++;
        world->ops->notify(world, prefetch->monitor);
        world->ops->leave(world, prefetch->monitor);
    }
}

/* The memory of all slots at once. */
static enum mu_status take_memory(struct mu_prefetch *prefetch)
{
    const struct mu_prefetch_options *options = &prefetch->options;
    size_t rows_max = (size_t)options->plan->batch;
    size_t depth = (size_t)options->depth;
    size_t row_floats = options->feature_count, slot_floats, bytes;
    if (__builtin_mul_overflow(rows_max, row_floats, &slot_floats) ||
        __builtin_mul_overflow(slot_floats, depth * sizeof(float), &bytes) ||
        bytes > SIZE_MAX - FEATURES_ALIGN * depth)
        return MU_NO_MEMORY;
    size_t in_line = FEATURES_ALIGN / sizeof(float);
    slot_floats = (slot_floats + in_line - 1) / in_line * in_line;
    prefetch->features = aligned_alloc(FEATURES_ALIGN, slot_floats * depth * sizeof(float));
    prefetch->labels = calloc(rows_max * depth, sizeof(int32_t));
    if (!prefetch->features || !prefetch->labels)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < depth; i++) {
        prefetch->slot[i].features = prefetch->features + i * slot_floats;
        prefetch->slot[i].labels = prefetch->labels + i * rows_max;
    }
    return MU_OK;
}

static enum mu_status start(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    MU_TRY(take_memory(prefetch));
    MU_TRY(world->ops->monitor_create(world, &prefetch->monitor));
    return world->ops->spawn(world, "reader", reader_run, prefetch, &prefetch->reader);
}

enum mu_status mu_prefetch_create(
    const struct mu_prefetch_options *options, struct mu_prefetch **ret_prefetch)
{
    assert(options->depth >= 2);
    assert(options->first_step >= 0);
    assert(options->replica >= 0 && options->replica < options->plan->replica_count);
    struct mu_prefetch *prefetch =
        calloc(1, sizeof(*prefetch) + (size_t)options->depth * sizeof(prefetch->slot[0]));
    if (!prefetch)
        return MU_NO_MEMORY;
    prefetch->options = *options;
    prefetch->step = options->first_step;
    enum mu_status status = start(prefetch);
    if (status != MU_OK) {
        mu_prefetch_destroy(prefetch);
        return status;
    }
    *ret_prefetch = prefetch;
    return MU_OK;
}

static void stop_reader(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    world->ops->enter(world, prefetch->monitor);
    prefetch->stop = true;
    world->ops->notify(world, prefetch->monitor);
    world->ops->leave(world, prefetch->monitor);
    world->ops->join(world, prefetch->reader);
}

void mu_prefetch_destroy(struct mu_prefetch *prefetch)
{
    if (!prefetch)
        return;
    struct mu_world *world = prefetch->options.world;
    if (prefetch->reader)
        stop_reader(prefetch);
    world->ops->monitor_destroy(world, prefetch->monitor);
    free(prefetch->labels);
    free(prefetch->features);
    free(prefetch);
}

enum mu_status mu_prefetch_next(
    struct mu_prefetch *prefetch, int64_t deadline_ns, const struct mu_prefetch_batch **ret_batch)
{
    struct mu_world *world = prefetch->options.world;
    enum mu_status status = MU_OK;
    world->ops->enter(world, prefetch->monitor);
    assert(prefetch->given == prefetch->taken);
    while (status == MU_OK && prefetch->filled == prefetch->given)
        status = world->ops->wait(world, prefetch->monitor, deadline_ns);
    bool there = prefetch->filled > prefetch->given; /* perhaps just at the deadline */
    if (there)
        *ret_batch = &slot_of(prefetch, prefetch->given++)->out;
    world->ops->leave(world, prefetch->monitor);
    return there ? MU_OK : status;
}

void mu_prefetch_done(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    world->ops->enter(world, prefetch->monitor);
    assert(prefetch->given == prefetch->taken + 1);
    prefetch->taken++;
    world->ops->notify(world, prefetch->monitor);
    world->ops->leave(world, prefetch->monitor);
}
