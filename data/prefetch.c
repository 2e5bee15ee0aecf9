/* SPDX-License-Identifier: Apache-2.0 */
#include "data/prefetch.h"
#include "runtime/tensor/unique.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Batches are numbered from 0; batch n lives in slot n % depth.
 *
 *   taken <= given <= filled <= taken + depth
 *
 *   ... done | held by the trainer | waiting for it | empty, the reader's | ...
 *          taken                 given           filled            taken + depth
 */
#define FEATURES_ALIGN 64

struct slot {
    struct mu_prefetch_batch out;
    float *features;           /* (rows_max, feature_count), within `features` of the whole */
    int32_t *labels;           /* (rows_max) */
    struct mu_entries entries; /* room for rows_max * entry_max, within `entries` of the whole */
    uint64_t *different;       /* room for as many, within `different` of the whole, or NULL; */
    uint32_t *of_entry;        /* so here, within `of_entry` */
};

struct mu_prefetch {
    struct mu_prefetch_options options;
    struct mu_monitor *monitor; /* guards the counts, `stop` and `failed` */
    struct mu_thread *reader;   /* NULL: whoever takes a batch reads it */
    int64_t taken, given, filled;
    bool stop;
    enum mu_status failed; /* why the reader has ended */
    int64_t step;          /* the reader's: the next one to read */
    float *features;
    int32_t *labels;
    struct mu_entries entries;
    uint64_t *different; /* NULL: nobody asked for them */
    uint32_t *of_entry;
    struct mu_unique unique;
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
        if (options->replica > 0 && epoch < plan->alone_epochs)
            epoch = plan->alone_epochs;
        int done_count = options->done ? options->done(options->owner, epoch, done) : 0;
        mu_plan_begin(plan, epoch, done, done_count, plan->replicas_all, plan->batch);
    } while (mu_plan_steps_of(plan, options->replica) == 0);
    prefetch->step = 0;
}

static enum mu_status read(const struct mu_prefetch_options *options, const uint32_t *index,
    size_t row_count, struct slot *slot)
{
    const struct mu_dataset_ops *ops = options->ops;
    if (ops->read_sparse)
        return ops->read_sparse(options->dataset, index, row_count, slot->features, slot->labels,
            &slot->entries, options->log);
    ops->read(options->dataset, index, row_count, slot->features, slot->labels);
    return MU_OK;
}

static void find_different(struct mu_prefetch *prefetch, struct slot *slot)
{
    struct mu_unique *unique = &prefetch->unique;
    struct mu_batch *batch = &slot->out.batch;
    mu_unique_find(unique, batch->entries.id, mu_batch_entry_count(batch), slot->of_entry);
    memcpy(slot->different, unique->id, unique->count * sizeof(*slot->different));
    batch->different =
        (struct mu_ids){.count = unique->count, .id = slot->different, .of_entry = slot->of_entry};
}

static enum mu_status fill(struct mu_prefetch *prefetch, struct slot *slot)
{
    const struct mu_prefetch_options *options = &prefetch->options;
    const struct mu_plan *plan = options->plan;
    if (prefetch->step >= mu_plan_steps_of(plan, options->replica))
        next_epoch(prefetch);
    size_t row_count, global_count;
    const uint32_t *index =
        mu_plan_samples(plan, prefetch->step, options->replica, &row_count, &global_count);
    MU_TRY(read(options, index, row_count, slot));
    slot->out = (struct mu_prefetch_batch){
        .batch = {.row_count = row_count,
            .feature_count = options->feature_count,
            .features = slot->features,
            .labels = slot->labels,
            .entries = options->entry_max > 0 ? slot->entries : (struct mu_entries){0}},
        .global_count = global_count,
        .epoch = plan->epoch,
        .step = prefetch->step,
    };
    if (prefetch->different)
        find_different(prefetch, slot);
    prefetch->step++;
    return MU_OK;
}

static int64_t empty_slots(const struct mu_prefetch *prefetch)
{
    return prefetch->taken + prefetch->options.depth - prefetch->filled;
}

/* To wake a thread costs the trainer more than to take a batch: a reader that has filled all sleeps
 * until half is empty, or the trainer has no more. */
static bool is_worth_waking(const struct mu_prefetch *prefetch)
{
    int64_t empty = empty_slots(prefetch);
    return empty > 0 &&
           (2 * empty >= prefetch->options.depth || prefetch->filled == prefetch->given);
}

/* Waits for empty slots; NULL when it is time to end. */
static struct slot *wait_empty(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    enum mu_status status = MU_OK;
    world->ops->enter(world, prefetch->monitor);
    if (empty_slots(prefetch) == 0)
        while (status == MU_OK && !prefetch->stop && !is_worth_waking(prefetch))
            status = world->ops->wait(world, prefetch->monitor, MU_FOREVER);
    bool stop = prefetch->stop || status != MU_OK;
    world->ops->leave(world, prefetch->monitor);
    return stop ? NULL : slot_of(prefetch, prefetch->filled);
}

static void reader_run(void *argument)
{
    struct mu_prefetch *prefetch = argument;
    struct mu_world *world = prefetch->options.world;
    enum mu_status status = MU_OK;
    for (struct slot *slot; status == MU_OK && (slot = wait_empty(prefetch));) {
        status = fill(prefetch, slot);
        world->ops->enter(world, prefetch->monitor);
        prefetch->failed = status;
        prefetch->filled += status == MU_OK;
        world->ops->notify(world, prefetch->monitor);
        world->ops->leave(world, prefetch->monitor);
    }
}

static enum mu_status take_different(
    struct mu_prefetch *prefetch, size_t slot_entries, size_t depth)
{
    prefetch->different = calloc(slot_entries * depth + 1, sizeof(*prefetch->different));
    prefetch->of_entry = calloc(slot_entries * depth + 1, sizeof(*prefetch->of_entry));
    if (!prefetch->different || !prefetch->of_entry)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < depth; i++) {
        prefetch->slot[i].different = prefetch->different + i * slot_entries;
        prefetch->slot[i].of_entry = prefetch->of_entry + i * slot_entries;
    }
    return mu_unique_init(&prefetch->unique, slot_entries);
}

/* Entries of all slots at once: nothing for a dense data set. */
static enum mu_status take_entries(struct mu_prefetch *prefetch, size_t rows_max, size_t depth)
{
    if (!prefetch->options.ops->read_sparse)
        return MU_OK;
    struct mu_entries *all = &prefetch->entries;
    size_t slot_entries, bytes;
    if (__builtin_mul_overflow(rows_max, prefetch->options.entry_max, &slot_entries) ||
        __builtin_mul_overflow(slot_entries, depth * sizeof(*all->id), &bytes) ||
        slot_entries > UINT32_MAX)
        return MU_NO_MEMORY;
    all->first = calloc((rows_max + 1) * depth, sizeof(*all->first));
    all->id = calloc(slot_entries * depth + 1, sizeof(*all->id));
    all->value = calloc(slot_entries * depth + 1, sizeof(*all->value));
    if (!all->first || !all->id || !all->value)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < depth; i++)
        prefetch->slot[i].entries = (struct mu_entries){.first = all->first + i * (rows_max + 1),
            .id = all->id + i * slot_entries,
            .value = all->value + i * slot_entries};
    return prefetch->options.find_different ? take_different(prefetch, slot_entries, depth) : MU_OK;
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
    slot_floats = slot_floats > 0 ? (slot_floats + in_line - 1) / in_line * in_line : in_line;
    prefetch->features = aligned_alloc(FEATURES_ALIGN, slot_floats * depth * sizeof(float));
    prefetch->labels = calloc(rows_max * depth, sizeof(int32_t));
    if (!prefetch->features || !prefetch->labels)
        return MU_NO_MEMORY;
    for (size_t i = 0; i < depth; i++) {
        prefetch->slot[i].features = prefetch->features + i * slot_floats;
        prefetch->slot[i].labels = prefetch->labels + i * rows_max;
    }
    return take_entries(prefetch, rows_max, depth);
}

static enum mu_status start(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    MU_TRY(take_memory(prefetch));
    MU_TRY(world->ops->monitor_create(world, &prefetch->monitor));
    if (prefetch->options.crowded && !prefetch->options.ops->read_sparse)
        return MU_OK;
    return world->ops->spawn(world, "reader", reader_run, prefetch, &prefetch->reader);
}

enum mu_status mu_prefetch_create(
    const struct mu_prefetch_options *options, struct mu_prefetch **ret_prefetch)
{
    assert(options->depth >= 2);
    assert(options->first_step >= 0);
    assert(options->replica >= 0 && options->replica < options->plan->replicas_all);
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
    free(prefetch->entries.first);
    free(prefetch->entries.id);
    free(prefetch->entries.value);
    free(prefetch->different);
    free(prefetch->of_entry);
    mu_unique_finish(&prefetch->unique);
    free(prefetch->labels);
    free(prefetch->features);
    free(prefetch);
}

static void read_one(struct mu_prefetch *prefetch)
{
    prefetch->failed = fill(prefetch, slot_of(prefetch, prefetch->filled));
    prefetch->filled += prefetch->failed == MU_OK;
}

enum mu_status mu_prefetch_next(
    struct mu_prefetch *prefetch, int64_t deadline_ns, const struct mu_prefetch_batch **ret_batch)
{
    struct mu_world *world = prefetch->options.world;
    enum mu_status status = MU_OK;
    world->ops->enter(world, prefetch->monitor);
    assert(prefetch->given < prefetch->taken + prefetch->options.depth);
    if (!prefetch->reader && prefetch->filled == prefetch->given)
        read_one(prefetch);
    while (status == MU_OK && prefetch->filled == prefetch->given && prefetch->failed == MU_OK)
        status = world->ops->wait(world, prefetch->monitor, deadline_ns);
    bool there = prefetch->filled > prefetch->given; /* perhaps just at the deadline */
    if (there)
        *ret_batch = &slot_of(prefetch, prefetch->given++)->out;
    else if (prefetch->failed != MU_OK)
        status = prefetch->failed;
    if (is_worth_waking(prefetch))
        world->ops->notify(world, prefetch->monitor);
    world->ops->leave(world, prefetch->monitor);
    return there ? MU_OK : status;
}

void mu_prefetch_done(struct mu_prefetch *prefetch)
{
    struct mu_world *world = prefetch->options.world;
    world->ops->enter(world, prefetch->monitor);
    assert(prefetch->given > prefetch->taken);
    prefetch->taken++;
    if (is_worth_waking(prefetch))
        world->ops->notify(world, prefetch->monitor);
    world->ops->leave(world, prefetch->monitor);
}
