/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/shard.h"
#include "ps/split.h"
#include "runtime/base/options.h"
#include "runtime/base/random.h"
#include "runtime/optim/optimizers.h"
#include "runtime/optim/tensors.h"
#include "runtime/tensor/layout.h"
#include "test.h"

#define COUNT 20016 /* several blocks, and a part of one */
#define STEPS 7

static void fill(struct mu_random *random, float *values)
{
    for (size_t i = 0; i < COUNT; i++)
        values[i] = (float)mu_random_normal(random);
}

/* The whole vector in one call a step: what all shards together must equal. */
static void step_whole(const struct mu_optimizer_ops *optimizer, const void *options,
    const struct mu_arena *vectors, const float *gradients, int64_t step)
{
    struct mu_optim_step whole = {
        .count = COUNT,
        .parameters = vectors[0].data,
        .gradients = gradients,
        .learning_rate = 0.1f / (float)step,
        .weight_decay = 0.01f,
        .gradient_scale = 0.5f,
        .step = step,
    };
    for (int i = 0; i < optimizer->slot_count; i++)
        whole.slots[i] = vectors[1 + i].data;
    optimizer->step(options, &whole);
}

static void check_shard(
    const struct mu_shard *shard, const struct mu_arena *vectors, const float *buffer)
{
    size_t bytes = shard->span.count * sizeof(float);
    for (int i = 0; i < shard->vector_count; i++)
        assert_memory_equal(shard->vectors[i].data, vectors[i].data + shard->span.first, bytes);
    assert_memory_equal(buffer, vectors[0].data + shard->span.first, bytes);
}

static void run(const struct mu_optimizer_ops *optimizer, int server_count)
{
    struct mu_shard shards[4];
    struct mu_arena vectors[MU_SHARD_VECTORS_MAX] = {0}, gradients = {0}, buffer = {0};
    void *options = calloc(1, optimizer->option_bytes + 1);
    mu_options_defaults(optimizer->options, options);
    assert_ok(mu_arena_init(&gradients, COUNT));
    assert_ok(mu_arena_init(&buffer, COUNT));
    for (int i = 0; i <= optimizer->slot_count; i++)
        assert_ok(mu_arena_init(&vectors[i], COUNT));
    for (int i = 0; i < server_count; i++)
        assert_ok(
            mu_shard_init(&shards[i], mu_split(COUNT, server_count, i), optimizer, options, 0.01));
    struct mu_random random;
    mu_random_init(&random, 5);
    for (int64_t step = 1; step <= STEPS; step++) {
        fill(&random, gradients.data);
        step_whole(optimizer, options, vectors, gradients.data, step);
        for (int i = 0; i < server_count; i++) {
            struct mu_span span = shards[i].span;
            memcpy(buffer.data, gradients.data + span.first, span.count * sizeof(float));
            mu_shard_apply(&shards[i], buffer.data, 0.5f, 0.1f / (float)step);
            assert_int_equal(shards[i].version, step);
            check_shard(&shards[i], vectors, buffer.data);
        }
    }
    for (int i = 0; i < server_count; i++)
        mu_shard_finish(&shards[i]);
    for (int i = 0; i <= optimizer->slot_count; i++)
        mu_arena_finish(&vectors[i]);
    mu_arena_finish(&gradients);
    mu_arena_finish(&buffer);
    free(options);
}

static void shards_equal_one_step_over_the_whole_vector(void **state)
{
    (void)state;
    for (int i = 0; mu_optimizers[i]; i++)
        for (int servers = 1; servers <= 4; servers++)
            run(mu_optimizers[i], servers);
}

/* A span from within one matrix to within the next. */
static void a_shard_steps_the_parts_of_tensors_that_it_holds(void **state)
{
    (void)state;
    const struct mu_span span = {.first = 4096, .count = 12000};
    const int64_t shape[] = {100, 100};
    struct mu_layout layout;
    mu_layout_init(&layout);
    assert_true(mu_layout_add(&layout, "first", 2, shape));
    assert_true(mu_layout_add(&layout, "second", 2, shape));
    static float parameters[COUNT], slots[2][COUNT], gradients[COUNT], buffer[COUNT];
    struct mu_random random;
    mu_random_init(&random, 6);
    for (int i = 0; mu_optimizers[i]; i++) {
        char options[256] __attribute__((aligned(16)));
        struct mu_shard shard;
        mu_options_defaults(mu_optimizers[i]->options, options);
        assert_ok(mu_shard_init(&shard, span, mu_optimizers[i], options, 0.01));
        shard.layout = &layout;
        fill(&random, parameters);
        fill(&random, gradients);
        memset(slots, 0, sizeof(slots));
        memcpy(shard.vectors[0].data, parameters, span.count * sizeof(float));
        memcpy(buffer, gradients, span.count * sizeof(float));
        struct mu_optim_step step = {.count = span.count,
            .parameters = parameters,
            .gradients = gradients,
            .slots = {slots[0], slots[1]},
            .learning_rate = 0.1f,
            .weight_decay = 0.01f,
            .gradient_scale = 0.5f,
            .step = 1};
        mu_tensors_step(mu_optimizers[i], options, &layout, span.first, &step);
        mu_shard_apply(&shard, buffer, 0.5f, 0.1f);
        assert_memory_equal(buffer, parameters, span.count * sizeof(float));
        mu_shard_finish(&shard);
    }
}

static void a_copy_changes_nothing(void **state)
{
    (void)state;
    struct mu_shard shard;
    float buffer[48] = {1, 2, 3};
    assert_ok(mu_shard_init(
        &shard, (struct mu_span){.first = 16, .count = 48}, mu_optimizer_find("sgd"), NULL, 0));
    shard.vectors[0].data[47] = 3.5f;
    mu_shard_copy(&shard, buffer);
    assert_true(buffer[0] == 0.0f && buffer[47] == 3.5f);
    assert_int_equal(shard.version, 0);
    mu_shard_finish(&shard);
}

/* The mean of what was gathered, in the order in which it was; twice, so that nothing is left. */
static void a_step_takes_the_mean_of_what_is_gathered(void **state)
{
    (void)state;
    struct mu_shard shard;
    float first[16] = {1, 2}, second[16] = {3, -6}, third[16] = {8, 8};
    assert_ok(mu_shard_init(
        &shard, (struct mu_span){.first = 0, .count = 16}, mu_optimizer_find("sgd"), NULL, 0));
    assert_ok(mu_shard_make_room(&shard));
    mu_shard_gather(&shard, first, 1);
    mu_shard_gather(&shard, second, 0.5f);
    assert_int_equal(shard.gathered, 2);
    assert_int_equal(shard.version, 0);
    assert_float_equal(shard.vectors[0].data[0], 0, 0);
    mu_shard_apply_gathered(&shard, 2);
    assert_float_equal(shard.vectors[0].data[0], -2 * (1 + 1.5) / 2, 0);
    assert_float_equal(shard.vectors[0].data[1], -2 * (2 - 3.0) / 2, 0);
    mu_shard_gather(&shard, third, 1);
    mu_shard_apply_gathered(&shard, 0.125f);
    assert_float_equal(shard.vectors[0].data[0], -2.5 - 1, 0);
    assert_int_equal(shard.version, 2);
    mu_shard_finish(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_equal_one_step_over_the_whole_vector),
        cmocka_unit_test(a_shard_steps_the_parts_of_tensors_that_it_holds),
        cmocka_unit_test(a_copy_changes_nothing),
        cmocka_unit_test(a_step_takes_the_mean_of_what_is_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
