/* SPDX-License-Identifier: Apache-2.0 */
#include "data/plan.h"
#include "runtime/base/random.h"
#include "test.h"

#define SAMPLES_MAX 600

/* How often each sample was read in an epoch. */
static int seen[SAMPLES_MAX];

static void see(const struct mu_plan *plan, int64_t step, int replica)
{
    size_t count, global_count;
    const uint32_t *index = mu_plan_samples(plan, step, replica, &count, &global_count);
    assert_true(count <= (size_t)plan->batch);
    for (size_t i = 0; i < count; i++) {
        assert_true(index[i] < plan->sample_count);
        seen[index[i]]++;
    }
}

static void see_steps(const struct mu_plan *plan, int64_t first, int64_t end)
{
    for (int64_t step = first; step < end; step++)
        for (int replica = 0; replica < plan->replica_count; replica++)
            see(plan, step, replica);
}

static void each_was_seen_once(size_t sample_count)
{
    for (size_t i = 0; i < sample_count; i++)
        assert_int_equal(seen[i], 1);
}

static const size_t sample_counts[] = {1, 2, 3, 7, 16, 17, 100, 101, 256, 599};
static const int replica_counts[] = {1, 2, 3, 5, 8, 17};
static const int batches[] = {1, 2, 7, 16, 64};

static void every_sample_comes_once_an_epoch(void **state)
{
    for (size_t n = 0; n < MU_COUNT_OF(sample_counts); n++) {
        struct mu_plan plan;
        assert_ok(mu_plan_init(&plan, 5, sample_counts[n]));
        for (size_t r = 0; r < MU_COUNT_OF(replica_counts); r++) {
            for (size_t b = 0; b < MU_COUNT_OF(batches); b++) {
                memset(seen, 0, sizeof(seen));
                mu_plan_begin(&plan, 3, NULL, 0, replica_counts[r], batches[b]);
                assert_int_equal(plan.step_count,
                    mu_plan_steps(sample_counts[n], replica_counts[r], batches[b]));
                see_steps(&plan, 0, plan.step_count);
                each_was_seen_once(sample_counts[n]);
            }
        }
        mu_plan_finish(&plan);
    }
}

static void shares_of_a_step_differ_by_one_at_most(void **state)
{
    struct mu_plan plan;
    assert_ok(mu_plan_init(&plan, 5, 101));
    mu_plan_begin(&plan, 0, NULL, 0, 3, 8); /* 24 a step; 5 are left for the last one */
    assert_int_equal(plan.step_count, 5);
    const size_t last[] = {2, 2, 1};
    for (int replica = 0; replica < 3; replica++) {
        size_t count, global_count;
        (void)mu_plan_samples(&plan, 0, replica, &count, &global_count);
        assert_int_equal(count, 8);
        assert_int_equal(global_count, 24);
        (void)mu_plan_samples(&plan, 4, replica, &count, &global_count);
        assert_int_equal(count, last[replica]);
        assert_int_equal(global_count, 5);
    }
    mu_plan_finish(&plan);
}

static void a_replica_may_have_nothing_in_the_last_step(void **state)
{
    struct mu_plan plan;
    size_t count, global_count;
    assert_ok(mu_plan_init(&plan, 5, 13));
    mu_plan_begin(&plan, 0, NULL, 0, 4, 3);
    assert_int_equal(plan.step_count, 2);
    (void)mu_plan_samples(&plan, 1, 0, &count, &global_count);
    assert_int_equal(count, 1);
    (void)mu_plan_samples(&plan, 1, 3, &count, &global_count);
    assert_int_equal(count, 0);
    assert_int_equal(global_count, 1);
    mu_plan_finish(&plan);
}

static void the_order_is_a_function_of_seed_and_epoch(void **state)
{
    struct mu_plan a, b;
    assert_ok(mu_plan_init(&a, 9, 200));
    assert_ok(mu_plan_init(&b, 9, 200));
    mu_plan_begin(&a, 4, NULL, 0, 2, 8);
    mu_plan_begin(&b, 7, NULL, 0, 3, 5);
    assert_memory_not_equal(a.order, b.order, 200 * sizeof(*a.order));
    mu_plan_begin(&b, 4, NULL, 0, 2, 8);
    assert_memory_equal(a.order, b.order, 200 * sizeof(*a.order));
    mu_plan_finish(&b);
    assert_ok(mu_plan_init(&b, 10, 200));
    mu_plan_begin(&b, 4, NULL, 0, 2, 8);
    assert_memory_not_equal(a.order, b.order, 200 * sizeof(*a.order));
    mu_plan_finish(&a);
    mu_plan_finish(&b);
}

/* Blocks stay together, wherever the short one comes to lie. */
static void blocks_are_drawn_whole(void **state)
{
    static const size_t blocks[] = {2, 3, 64, 598, 599, 600};
    for (size_t n = 0; n < MU_COUNT_OF(sample_counts); n++) {
        for (size_t b = 0; b < MU_COUNT_OF(blocks); b++) {
            struct mu_plan plan;
            size_t count = sample_counts[n], starts = 0;
            assert_ok(mu_plan_init(&plan, 7, count));
            mu_plan_set_block(&plan, blocks[b]);
            mu_plan_begin(&plan, 2, NULL, 0, 3, 5);
            memset(seen, 0, sizeof(seen));
            see_steps(&plan, 0, plan.step_count);
            each_was_seen_once(count);
            for (size_t i = 0; i < count; i++) {
                bool starts_block = plan.order[i] % blocks[b] == 0;
                starts += starts_block;
                assert_true(starts_block || plan.order[i] == plan.order[i - 1] + 1);
            }
            assert_int_equal(starts, (count + blocks[b] - 1) / blocks[b]);
            mu_plan_finish(&plan);
        }
    }
}

static void the_order_of_blocks_is_drawn_for_each_epoch(void **state)
{
    struct mu_plan a, b;
    assert_ok(mu_plan_init(&a, 9, 200));
    assert_ok(mu_plan_init(&b, 9, 200));
    mu_plan_set_block(&a, 8);
    mu_plan_set_block(&b, 8);
    mu_plan_begin(&a, 4, NULL, 0, 2, 8);
    mu_plan_begin(&b, 5, NULL, 0, 2, 8);
    assert_memory_not_equal(a.order, b.order, 200 * sizeof(*a.order));
    mu_plan_begin(&b, 4, NULL, 0, 3, 5);
    assert_memory_equal(a.order, b.order, 200 * sizeof(*a.order));
    mu_plan_finish(&a);
    mu_plan_finish(&b);
}

static void without_shuffling_the_order_is_that_of_the_file(void **state)
{
    struct mu_plan plan;
    assert_ok(mu_plan_init(&plan, 9, 200));
    mu_plan_set_block(&plan, 0);
    for (int epoch = 0; epoch < 3; epoch++) {
        mu_plan_begin(&plan, epoch, NULL, 0, 2, 8);
        for (uint32_t i = 0; i < 200; i++)
            assert_int_equal(plan.order[i], i);
    }
    mu_plan_finish(&plan);
}

/* What all replicas read at a step, in rank order. */
static size_t read_global(const struct mu_plan *plan, int64_t step, uint32_t *out)
{
    size_t made = 0, global_count = 0;
    for (int replica = 0; replica < plan->replica_count; replica++) {
        size_t count;
        const uint32_t *index = mu_plan_samples(plan, step, replica, &count, &global_count);
        memcpy(out + made, index, count * sizeof(*out));
        made += count;
    }
    assert_int_equal(made, global_count);
    return made;
}

static void equal_global_batches_read_the_same_at_any_size(void **state)
{
    struct mu_plan one, many;
    assert_ok(mu_plan_init(&one, 2, 599));
    assert_ok(mu_plan_init(&many, 2, 599));
    for (int replicas = 1; replicas <= 24; replicas++) {
        if (24 % replicas != 0)
            continue;
        mu_plan_begin(&one, 1, NULL, 0, 1, 24);
        mu_plan_begin(&many, 1, NULL, 0, replicas, 24 / replicas);
        assert_int_equal(many.step_count, one.step_count);
        for (int64_t step = 0; step < one.step_count; step++) {
            uint32_t a[24], b[24];
            size_t count = read_global(&one, step, a);
            assert_int_equal(read_global(&many, step, b), count);
            assert_memory_equal(a, b, count * sizeof(*a));
        }
    }
    mu_plan_finish(&one);
    mu_plan_finish(&many);
}

/* ---- stretches ---- */

struct history {
    struct mu_stretch stretch[MU_STRETCHES_MAX];
    int64_t steps[MU_STRETCHES_MAX][16];
    int count;
};

/* Works a random part of what is left and writes it down. `alike`: all replicas the same steps. */
static void work_a_stretch(
    struct mu_plan *plan, struct history *history, struct mu_random *random, bool alike)
{
    int replicas = 1 + (int)mu_random_below(random, 16);
    int batch = 1 + (int)mu_random_below(random, 20);
    mu_plan_begin(plan, 6, history->stretch, history->count, replicas, batch);
    int64_t *steps = history->steps[history->count];
    for (int replica = 0; replica < replicas; replica++) {
        steps[replica] = alike && replica > 0
                             ? steps[0]
                             : (int64_t)mu_random_below(random, (uint64_t)plan->step_count + 1);
        for (int64_t step = 0; step < steps[replica]; step++)
            see(plan, step, replica);
    }
    history->stretch[history->count++] =
        (struct mu_stretch){.replica_count = replicas, .batch = batch, .steps_done = steps};
}

/* An epoch in up to 16 stretches, then the rest of it. */
static void work_an_epoch(uint64_t seed, bool alike)
{
    struct mu_random random;
    mu_random_init(&random, seed);
    size_t sample_count = 1 + mu_random_below(&random, SAMPLES_MAX);
    int stretches = (int)mu_random_below(&random, MU_STRETCHES_MAX + 1);
    struct mu_plan plan;
    struct history history = {.count = 0};
    memset(seen, 0, sizeof(seen));
    assert_ok(mu_plan_init(&plan, seed, sample_count));
    for (int i = 0; i < stretches; i++)
        work_a_stretch(&plan, &history, &random, alike);
    mu_plan_begin(&plan, 6, history.stretch, history.count, 3, 7);
    see_steps(&plan, 0, plan.step_count);
    each_was_seen_once(sample_count);
    mu_plan_finish(&plan);
}

static void resumed_epochs_read_every_sample_once(void **state)
{
    for (uint64_t seed = 0; seed < 500; seed++)
        work_an_epoch(seed, true);
}

static void unequal_replicas_read_every_sample_once(void **state)
{
    for (uint64_t seed = 0; seed < 500; seed++)
        work_an_epoch(seed, false);
}

static void an_epoch_that_is_done_has_no_steps(void **state)
{
    struct mu_plan plan;
    int64_t steps[] = {4, 4};
    const struct mu_stretch done = {.replica_count = 2, .batch = 3, .steps_done = steps};
    assert_ok(mu_plan_init(&plan, 1, 20));
    mu_plan_begin(&plan, 0, &done, 1, 4, 2);
    assert_int_equal(plan.step_count, 0);
    assert_int_equal(plan.left, 0);
    steps[1] = 3;
    mu_plan_begin(&plan, 0, &done, 1, 4, 2);
    assert_int_equal(plan.left, 1);
    mu_plan_finish(&plan);
}

static void going_on_alike_reads_what_would_have_been_read(void **state)
{
    struct mu_plan whole, resumed;
    int64_t steps[] = {5, 5};
    const struct mu_stretch done = {.replica_count = 2, .batch = 8, .steps_done = steps};
    assert_ok(mu_plan_init(&whole, 3, 500));
    assert_ok(mu_plan_init(&resumed, 3, 500));
    mu_plan_begin(&whole, 2, NULL, 0, 2, 8);
    mu_plan_begin(&resumed, 2, &done, 1, 2, 8);
    assert_int_equal(resumed.step_count, whole.step_count - 5);
    for (int64_t step = 0; step < resumed.step_count; step++) {
        uint32_t a[16], b[16];
        size_t count = read_global(&whole, step + 5, a);
        assert_int_equal(read_global(&resumed, step, b), count);
        assert_memory_equal(a, b, count * sizeof(*a));
    }
    mu_plan_finish(&whole);
    mu_plan_finish(&resumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_comes_once_an_epoch),
        cmocka_unit_test(shares_of_a_step_differ_by_one_at_most),
        cmocka_unit_test(a_replica_may_have_nothing_in_the_last_step),
        cmocka_unit_test(the_order_is_a_function_of_seed_and_epoch),
        cmocka_unit_test(blocks_are_drawn_whole),
        cmocka_unit_test(the_order_of_blocks_is_drawn_for_each_epoch),
        cmocka_unit_test(without_shuffling_the_order_is_that_of_the_file),
        cmocka_unit_test(equal_global_batches_read_the_same_at_any_size),
        cmocka_unit_test(resumed_epochs_read_every_sample_once),
        cmocka_unit_test(unequal_replicas_read_every_sample_once),
        cmocka_unit_test(an_epoch_that_is_done_has_no_steps),
        cmocka_unit_test(going_on_alike_reads_what_would_have_been_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
