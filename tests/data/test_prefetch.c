/* SPDX-License-Identifier: Apache-2.0 */
#include "data/prefetch.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include <stdatomic.h>

#define FEATURES 3

static struct mu_real_world real;
static struct mu_world *world;

/* A data set whose sample i is i everywhere. Reading waits while `shut`. */
struct fake {
    struct mu_monitor *monitor;
    bool shut;
    atomic_int reads;
};

static void fake_read(
    void *dataset, const uint32_t *index, size_t count, float *features, int32_t *labels)
{
    struct fake *fake = dataset;
    world->ops->enter(world, fake->monitor);
    while (fake->shut)
        if (world->ops->wait(world, fake->monitor, MU_FOREVER) != MU_OK)
            abort();
    world->ops->leave(world, fake->monitor);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < FEATURES; k++)
            features[i * FEATURES + k] = (float)index[i];
        labels[i] = (int32_t)index[i];
    }
    world->ops->enter(world, fake->monitor);
    fake->reads++;
    world->ops->notify(world, fake->monitor);
    world->ops->leave(world, fake->monitor);
}

/* Sample i has i % 4 entries, i and up; the one of `bad` cannot be read. */
#define ENTRY_MAX 3
static uint32_t bad;

static enum mu_status fake_read_sparse(void *dataset, const uint32_t *index, size_t count,
    float *features, int32_t *labels, struct mu_entries *entries, struct mu_log *log)
{
    fake_read(dataset, index, count, features, labels);
    entries->first[0] = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = entries->first[i];
        if (index[i] == bad)
            return mu_fail(log, MU_E0502, NULL, "sample %u is bad", bad);
        for (uint32_t k = 0; k < index[i] % (ENTRY_MAX + 1); k++, at++) {
            entries->id[at] = index[i] + k;
            entries->value[at] = (float)k;
        }
        entries->first[i + 1] = at;
    }
    return MU_OK;
}

static void fake_set(struct fake *fake, bool shut)
{
    world->ops->enter(world, fake->monitor);
    fake->shut = shut;
    world->ops->notify(world, fake->monitor);
    world->ops->leave(world, fake->monitor);
}

static const struct mu_dataset_ops fake_ops = {.name = "fake", .read = fake_read};

static const struct mu_dataset_ops sparse_ops = {.name = "sparse", .read_sparse = fake_read_sparse};

static struct fake fake;
static struct mu_test_log said;
static struct mu_plan plan, again; /* the reader's, and one to compare with */
static struct mu_prefetch *prefetch;

static int begin(void **state)
{
    world = &real.world;
    fake = (struct fake){0};
    bad = UINT32_MAX;
    prefetch = NULL;
    return mu_real_world_init(&real) == MU_OK &&
                   world->ops->monitor_create(world, &fake.monitor) == MU_OK
               ? 0
               : 1;
}

static int end(void **state)
{
    mu_prefetch_destroy(prefetch);
    world->ops->monitor_destroy(world, fake.monitor);
    mu_real_world_finish(&real);
    mu_plan_finish(&plan);
    mu_plan_finish(&again);
    return 0;
}

static struct mu_prefetch_options options_of(size_t sample_count, int replicas, int batch)
{
    assert_ok(mu_plan_init(&plan, 3, sample_count));
    assert_ok(mu_plan_init(&again, 3, sample_count));
    mu_plan_begin(&plan, 0, NULL, 0, replicas, batch);
    mu_plan_begin(&again, 0, NULL, 0, replicas, batch);
    return (struct mu_prefetch_options){.world = world,
        .ops = &fake_ops,
        .dataset = &fake,
        .feature_count = FEATURES,
        .plan = &plan,
        .depth = 3};
}

/* The next batch must be this step of `again`. */
static void expect_step(int replica, int64_t step)
{
    const struct mu_prefetch_batch *got;
    size_t count, global_count;
    assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
    const uint32_t *index = mu_plan_samples(&again, step, replica, &count, &global_count);
    assert_int_equal(got->epoch, again.epoch);
    assert_int_equal(got->step, step);
    assert_int_equal(got->global_count, global_count);
    assert_int_equal(got->batch.row_count, count);
    assert_int_equal(got->batch.feature_count, FEATURES);
    assert_int_equal((uintptr_t)got->batch.features % 64, 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got->batch.labels[i], index[i]);
        for (size_t k = 0; k < FEATURES; k++)
            assert_float_equal(got->batch.features[i * FEATURES + k], (float)index[i], 0);
    }
    mu_prefetch_done(prefetch);
}

static void batches_follow_the_plan_through_epochs(void **state)
{
    struct mu_prefetch_options options = options_of(37, 3, 4);
    options.replica = 2; /* which has nothing in the last step */
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int64_t epoch = 0; epoch < 5; epoch++) {
        mu_plan_begin(&again, epoch, NULL, 0, 3, 4);
        assert_int_equal(again.step_count, 4);
        for (int64_t step = 0; step < again.step_count; step++)
            expect_step(2, step);
    }
}

static void reading_starts_where_it_is_told(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    options.first_step = 3;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    expect_step(0, 3);
    mu_plan_begin(&again, 1, NULL, 0, 2, 5);
    expect_step(0, 0);
}

static void who_has_no_part_in_the_first_epochs_begins_after_them(void **state)
{
    struct mu_prefetch_options options = options_of(37, 3, 4);
    options.replica = 1;
    mu_plan_set_alone(&plan, 2);
    mu_plan_begin(&plan, 0, NULL, 0, 3, 4);
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int64_t epoch = 2; epoch < 4; epoch++) {
        mu_plan_begin(&again, epoch, NULL, 0, 3, 4);
        for (int64_t step = 0; step < again.step_count; step++)
            expect_step(1, step);
    }
}

static void who_reads_the_first_epochs_alone_reads_them_whole(void **state)
{
    struct mu_prefetch_options options = options_of(37, 3, 4);
    mu_plan_set_alone(&plan, 2);
    mu_plan_begin(&plan, 0, NULL, 0, 3, 4);
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        mu_plan_begin(&again, epoch, NULL, 0, epoch < 2 ? 1 : 3, 4);
        assert_int_equal(again.step_count, epoch < 2 ? 10 : 4);
        for (int64_t step = 0; step < again.step_count; step++)
            expect_step(0, step);
    }
}

static void a_finished_epoch_leads_to_the_next(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    options.first_step = plan.step_count;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    mu_plan_begin(&again, 1, NULL, 0, 2, 5);
    expect_step(0, 0);
}

/* Epoch 1 is done, of epoch 2 the first step is. */
static int done_before(void *owner, int64_t epoch, struct mu_stretch *ret_done)
{
    int64_t *steps = owner;
    if (epoch < 1 || epoch > 2)
        return 0;
    ret_done[0] = (struct mu_stretch){.replica_count = 1, .batch = 10, .steps_done = &steps[epoch]};
    return 1;
}

static void what_was_done_of_later_epochs_is_left_out(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    int64_t steps[] = {0, 4, 1};
    struct mu_stretch done;
    options.done = done_before;
    options.owner = steps;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int64_t step = 0; step < again.step_count; step++)
        expect_step(0, step);
    int count = done_before(steps, 2, &done);
    mu_plan_begin(&again, 2, &done, count, 2, 5);
    assert_int_equal(again.step_count, 3);
    for (int64_t step = 0; step < again.step_count; step++)
        expect_step(0, step);
    mu_plan_begin(&again, 3, NULL, 0, 2, 5);
    expect_step(0, 0);
    mu_prefetch_destroy(prefetch); /* before `steps` goes */
    prefetch = NULL;
}

static void the_reader_stays_within_its_depth(void **state)
{
    struct mu_prefetch_options options = options_of(1000, 1, 1);
    const struct mu_prefetch_batch *got;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int taken = 0; taken < 200; taken++) {
        assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
        assert_in_range(fake.reads, taken + 1, taken + options.depth);
        mu_prefetch_done(prefetch);
    }
}

static void the_crowded_read_what_they_take(void **state)
{
    struct mu_prefetch_options options = options_of(37, 3, 4);
    options.crowded = true;
    options.replica = 1;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    int reads = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        mu_plan_begin(&again, epoch, NULL, 0, 3, 4);
        for (int64_t step = 0; step < mu_plan_steps_of(&again, 1); step++) {
            assert_int_equal(fake.reads, reads);
            expect_step(1, step);
            assert_int_equal(fake.reads, ++reads);
        }
    }
}

/* Fewer than half are given back, and the reader has filled all: it wakes since none is left. */
static void a_trainer_that_holds_most_gets_the_next(void **state)
{
    struct mu_prefetch_options options = options_of(1000, 1, 1);
    options.depth = 4;
    const struct mu_prefetch_batch *got;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    world->ops->enter(world, fake.monitor);
    while (fake.reads < options.depth)
        assert_ok(world->ops->wait(world, fake.monitor, MU_FOREVER));
    world->ops->leave(world, fake.monitor);
    for (int held = 0; held < options.depth; held++)
        assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
    for (int step = options.depth; step < 20; step++) {
        mu_prefetch_done(prefetch);
        assert_ok(mu_prefetch_next(prefetch, world->ops->now_ns(world) + 10 * MU_SECOND, &got));
        assert_int_equal(got->step, step);
    }
}

static void a_held_batch_is_not_overwritten(void **state)
{
    struct mu_prefetch_options options = options_of(1000, 1, 1);
    const struct mu_prefetch_batch *got;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
    /* Until all other slots are full: the next to be written would be this one. */
    world->ops->enter(world, fake.monitor);
    while (fake.reads < options.depth)
        assert_ok(world->ops->wait(world, fake.monitor, MU_FOREVER));
    world->ops->leave(world, fake.monitor);
    size_t count, global_count;
    const uint32_t *index = mu_plan_samples(&again, 0, 0, &count, &global_count);
    assert_int_equal(got->batch.labels[0], index[0]);
    assert_int_equal(fake.reads, options.depth);
}

static struct mu_prefetch_options sparse_options(size_t sample_count)
{
    struct mu_prefetch_options options = options_of(sample_count, 1, 5);
    options.ops = &sparse_ops;
    options.entry_max = ENTRY_MAX;
    options.log = mu_test_log_init(&said);
    return options;
}

static void expect_entries(const struct mu_prefetch_batch *got)
{
    const struct mu_entries *entries = &got->batch.entries;
    assert_int_equal(entries->first[0], 0);
    for (size_t i = 0; i < got->batch.row_count; i++) {
        uint32_t sample = (uint32_t)got->batch.labels[i], first = entries->first[i];
        assert_int_equal(entries->first[i + 1] - first, sample % (ENTRY_MAX + 1));
        for (uint32_t k = first; k < entries->first[i + 1]; k++) {
            assert_int_equal(entries->id[k], sample + k - first);
            assert_float_equal(entries->value[k], (float)(k - first), 0);
        }
    }
}

/* Each id of the entries once, in the order of its first entry. */
static void expect_different(const struct mu_batch *batch)
{
    const struct mu_ids *different = &batch->different;
    size_t found = 0;
    for (size_t k = 0; k < mu_batch_entry_count(batch); k++) {
        uint32_t which = different->of_entry[k];
        assert_true(which <= found);
        found += which == found;
        assert_int_equal(different->id[which], batch->entries.id[k]);
    }
    assert_int_equal(different->count, found);
    for (size_t i = 0; i < found; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(different->id[i], different->id[j]);
}

static void batches_bring_their_different_ids(void **state)
{
    struct mu_prefetch_options options = sparse_options(43);
    const struct mu_prefetch_batch *got[2];
    options.find_different = true;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int step = 0; step < 30; step += 2) {
        for (int i = 0; i < 2; i++)
            assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got[i]));
        for (int i = 0; i < 2; i++)
            expect_different(&got[i]->batch);
        for (int i = 0; i < 2; i++)
            mu_prefetch_done(prefetch);
    }
}

static void sparse_batches_bring_their_entries(void **state)
{
    struct mu_prefetch_options options = sparse_options(43);
    const struct mu_prefetch_batch *got;
    options.crowded = true; /* text is read ahead all the same */
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int step = 0; step < 30; step++) {
        assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
        expect_entries(got);
        assert_null(got->batch.different.of_entry);
        mu_prefetch_done(prefetch);
    }
}

static void dense_batches_have_no_entries(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    const struct mu_prefetch_batch *got;
    assert_ok(mu_prefetch_create(&options, &prefetch));
    assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
    assert_null(got->batch.entries.first);
}

/* What was read before is given out; then it says so, however often it is asked. */
static void what_cannot_be_read_ends_in_its_status(void **state)
{
    struct mu_prefetch_options options = sparse_options(43);
    const struct mu_prefetch_batch *got;
    bad = again.order[5 * 4 + 2]; /* of step 4 */
    assert_ok(mu_prefetch_create(&options, &prefetch));
    for (int step = 0; step < 4; step++) {
        assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
        expect_entries(got);
        mu_prefetch_done(prefetch);
    }
    assert_int_equal(mu_prefetch_next(prefetch, MU_FOREVER, &got), MU_BAD_DATA);
    assert_int_equal(mu_prefetch_next(prefetch, mu_now(world), &got), MU_BAD_DATA);
    assert_int_equal(fake.reads, 5);
    assert_said(&said, "is bad");
}

static void a_slow_reader_ends_in_timeout(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    const struct mu_prefetch_batch *got;
    fake_set(&fake, true);
    assert_ok(mu_prefetch_create(&options, &prefetch));
    assert_int_equal(mu_prefetch_next(prefetch, mu_now(world), &got), MU_TIMEOUT);
    assert_int_equal(mu_prefetch_next(prefetch, mu_now(world) + MU_MS, &got), MU_TIMEOUT);
    fake_set(&fake, false);
    expect_step(0, 0);
    expect_step(0, 1);
}

static void it_ends_at_any_moment(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    for (int held = 0; held < 2; held++) {
        for (int taken = 0; taken < 8; taken++) {
            const struct mu_prefetch_batch *got;
            mu_plan_begin(&plan, 0, NULL, 0, 2, 5);
            assert_ok(mu_prefetch_create(&options, &prefetch));
            for (int i = 0; i < taken; i++) {
                assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
                mu_prefetch_done(prefetch);
            }
            if (held)
                assert_ok(mu_prefetch_next(prefetch, MU_FOREVER, &got));
            mu_prefetch_destroy(prefetch);
            prefetch = NULL;
        }
    }
}

static enum mu_status no_thread(struct mu_world *this_world, const char *name,
    void (*run)(void *argument), void *argument, struct mu_thread **ret_thread)
{
    return MU_UNAVAILABLE;
}

static void without_a_thread_it_is_unavailable(void **state)
{
    struct mu_prefetch_options options = options_of(40, 2, 5);
    struct mu_world_ops ops = *world->ops;
    struct mu_world poor = *world;
    ops.spawn = no_thread;
    poor.ops = &ops;
    options.world = &poor;
    assert_int_equal(mu_prefetch_create(&options, &prefetch), MU_UNAVAILABLE);
    assert_null(prefetch);
}

static void too_large_a_batch_is_no_memory(void **state)
{
    struct mu_prefetch_options options = options_of(40, 1, 1 << 20);
    options.feature_count = SIZE_MAX / 1024;
    assert_int_equal(mu_prefetch_create(&options, &prefetch), MU_NO_MEMORY);
    assert_null(prefetch);
    options.ops = &sparse_ops;
    options.feature_count = 0;
    /* Sizes that wrap, and sizes that no address space has: none that could be had, and filled. */
    for (size_t entry_max = SIZE_MAX; entry_max > (size_t)1 << 28; entry_max /= 16) {
        options.entry_max = entry_max;
        assert_int_equal(mu_prefetch_create(&options, &prefetch), MU_NO_MEMORY);
        assert_null(prefetch);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_follow_the_plan_through_epochs),
        TEST(reading_starts_where_it_is_told),
        TEST(who_has_no_part_in_the_first_epochs_begins_after_them),
        TEST(who_reads_the_first_epochs_alone_reads_them_whole),
        TEST(a_finished_epoch_leads_to_the_next),
        TEST(what_was_done_of_later_epochs_is_left_out),
        TEST(the_reader_stays_within_its_depth),
        TEST(the_crowded_read_what_they_take),
        TEST(a_trainer_that_holds_most_gets_the_next),
        TEST(a_held_batch_is_not_overwritten),
        TEST(sparse_batches_bring_their_entries),
        TEST(batches_bring_their_different_ids),
        TEST(dense_batches_have_no_entries),
        TEST(what_cannot_be_read_ends_in_its_status),
        TEST(a_slow_reader_ends_in_timeout),
        TEST(it_ends_at_any_moment),
        TEST(without_a_thread_it_is_unavailable),
        TEST(too_large_a_batch_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
