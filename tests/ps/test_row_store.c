/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_store.h"
#include "ps/table/table_save.h"
#include "runtime/optim/optimizers.h"
#include "test.h"

#define WIDTH 3
#define ROWS 40

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)(seed + id) + 0.25f * (float)i;
}

static void momentum_step(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    for (size_t i = 0; i < step->count; i++) {
        step->slots[0][i] = 0.9f * step->slots[0][i] + step->gradient_scale * step->gradients[i];
        step->parameters[i] -= step->learning_rate * step->slots[0][i];
    }
}

static const struct mu_optimizer_ops momentum = {
    .name = "momentum", .slot_count = 1, .slot_names = {"momentum"}, .step = momentum_step};

static struct mu_row_store_options options_of(const struct mu_optimizer_ops *optimizer)
{
    return (struct mu_row_store_options){
        .width = WIDTH,
        .push_max = ROWS,
        .gather_max = 3,
        .seed = 100,
        .init_row = init_row,
        .optimizer = optimizer,
        .weight_decay = 0.125f,
    };
}

static float gradient_of(int k, uint64_t id, size_t j)
{
    return (float)((id * 7 + (uint64_t)k * 13 + j * 3) % 17) / 8 - 1;
}

static void fill(float *gradients, const uint64_t *ids, size_t count, int k)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < WIDTH; j++)
            gradients[i * WIDTH + j] = gradient_of(k, ids[i], j);
}

static void a_row_begins_with_its_first_gradient(void **state)
{
    (void)state;
    static const uint64_t ids[] = {9, 4, UINT64_MAX};
    const struct mu_row_store_options options = options_of(mu_optimizer_find("sgd"));
    struct mu_row_store store;
    float values[3 * WIDTH], gradients[3 * WIDTH];
    uint32_t where[3];
    assert_ok(mu_row_store_init(&store, &options));
    mu_row_store_read_where(&store, ids, 3, values, where);
    assert_int_equal(mu_table_count(store.table).rows, 0);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < WIDTH; j++)
            assert_float_equal(values[i * WIDTH + j], 100 + (float)ids[i] + 0.25f * (float)j, 0);
    fill(gradients, ids, 3, 0);
    const struct mu_row_step step = {.learning_rate = 0.5f, .gradient_scale = 2, .step = 1};
    assert_ok(mu_row_store_apply(&store, ids, 1, gradients, &step));
    assert_int_equal(mu_table_count(store.table).rows, 1);
    float before = values[0], after[WIDTH];
    mu_row_store_read_where(&store, ids, 1, after, where);
    assert_float_equal(
        after[0], before - 0.5f * (2 * gradients[0] + options.weight_decay * before), 1e-4);
    mu_row_store_finish(&store);
}

/* What gathering three gradients and one step of a third of their sum gives. */
static void expect_mean(const struct mu_optimizer_ops *optimizer)
{
    const struct mu_row_store_options options = options_of(optimizer);
    struct mu_row_store gathering, plain;
    static float sums[ROWS * WIDTH], gradients[ROWS * WIDTH], found[ROWS * WIDTH],
        expected[ROWS * WIDTH];
    uint64_t all[ROWS];
    uint32_t where[ROWS];
    assert_ok(mu_row_store_init(&gathering, &options));
    assert_ok(mu_row_store_init(&plain, &options));
    for (size_t i = 0; i < ROWS; i++)
        all[i] = i;
    for (int step = 1; step <= 4; step++) {
        memset(sums, 0, sizeof(sums));
        for (int k = 0; k < 3; k++) {
            /* Rows 10 k and on: some are in all three, none in none. */
            const uint64_t *ids = all + 10 * k;
            size_t count = ROWS - 10 * (size_t)k;
            float weight = 1 + (float)k / 4;
            fill(gradients, ids, count, k + step);
            mu_row_store_gather(&gathering, ids, count, gradients, weight);
            for (size_t i = 0; i < count * WIDTH; i++)
                sums[10 * (size_t)k * WIDTH + i] += weight * gradients[i];
        }
        const struct mu_row_step numbers = {
            .learning_rate = 0.1f, .gradient_scale = 1.0f / 3, .step = step};
        assert_ok(mu_row_store_apply_gathered(&gathering, &numbers));
        assert_ok(mu_row_store_apply(&plain, all, ROWS, sums, &numbers));
        mu_row_store_read_where(&gathering, all, ROWS, found, where);
        mu_row_store_read_where(&plain, all, ROWS, expected, where);
        assert_memory_equal(found, expected, sizeof(found));
    }
    mu_row_store_finish(&gathering);
    mu_row_store_finish(&plain);
}

static void gathered_rows_are_one_step_of_their_sum(void **state)
{
    (void)state;
    expect_mean(mu_optimizer_find("sgd"));
    expect_mean(&momentum);
}

static void a_step_without_rows_changes_nothing(void **state)
{
    (void)state;
    const struct mu_row_store_options options = options_of(mu_optimizer_find("sgd"));
    const struct mu_row_step step = {.learning_rate = 1, .gradient_scale = 1, .step = 1};
    struct mu_row_store store;
    assert_ok(mu_row_store_init(&store, &options));
    assert_ok(mu_row_store_apply_gathered(&store, &step));
    assert_ok(mu_row_store_apply(&store, NULL, 0, NULL, &step));
    assert_int_equal(mu_table_count(store.table).rows, 0);
    mu_row_store_finish(&store);
}

static void rows_not_used_for_long_leave_and_are_counted(void **state)
{
    (void)state;
    struct mu_row_store_options options = options_of(mu_optimizer_find("sgd"));
    options.gather_max = 0;
    options.push_max = 10;
    options.row_limit = 20;
    const struct mu_row_step step = {.learning_rate = 1, .gradient_scale = 1, .step = 1};
    struct mu_row_store store;
    float gradients[10 * WIDTH] = {0};
    uint64_t ids[10];
    assert_ok(mu_row_store_init(&store, &options));
    for (uint64_t first = 0; first < 100; first += 10) {
        for (size_t i = 0; i < 10; i++)
            ids[i] = first + i;
        assert_ok(mu_row_store_apply(&store, ids, 10, gradients, &step));
    }
    assert_int_equal(mu_table_count(store.table).rows, 20);
    assert_int_equal(mu_table_count(store.table).evicted, 80);
    mu_row_store_finish(&store);
}

/* ---- rows that are corrected ---- */

/* A gradient is how often its row was corrected before. */
static void count_up(const void *options, const struct mu_correct_block *block)
{
    (void)options;
    for (size_t i = 0; i < block->count; i++)
        block->gradients[i] = block->mean_square[i]++;
}

/* Which it is now. */
static void expect_corrected(struct mu_row_store *store, const uint64_t *ids, size_t count, float n)
{
    const struct mu_row_step step = {.learning_rate = -1, .gradient_scale = 1, .step = 1};
    static const float nothing[WIDTH];
    float gradients[ROWS * WIDTH], before[ROWS * WIDTH], after[ROWS * WIDTH];
    const float *seen[ROWS];
    uint32_t where[ROWS];
    for (size_t i = 0; i < count; i++)
        seen[i] = nothing;
    const struct mu_row_correction correction = {.correct = count_up, .seen = seen};
    mu_row_store_read_where(store, ids, count, before, where);
    assert_ok(
        mu_row_store_apply_corrected(store, ids, where, count, gradients, &step, &correction));
    mu_row_store_read_where(store, ids, count, after, where);
    for (size_t i = 0; i < count * WIDTH; i++)
        assert_float_equal(after[i], before[i] + n, 1e-3);
}

static struct mu_row_store_options adapting(void)
{
    struct mu_row_store_options options = options_of(mu_optimizer_find("sgd"));
    options.gather_max = 0;
    options.weight_decay = 0;
    options.adapts = true;
    return options;
}

static void what_a_policy_keeps_begins_with_the_row(void **state)
{
    (void)state;
    struct mu_row_store_options options = adapting();
    options.push_max = 10;
    options.row_limit = 10;
    struct mu_row_store store;
    uint64_t ids[10], other[10];
    for (uint64_t i = 0; i < 10; i++) {
        ids[i] = i;
        other[i] = 100 + i;
    }
    assert_ok(mu_row_store_init(&store, &options));
    for (int n = 0; n < 3; n++)
        expect_corrected(&store, ids, 10, (float)n);
    expect_corrected(&store, other, 10, 0); /* in their place */
    assert_int_equal(mu_table_count(store.table).evicted, 10);
    expect_corrected(&store, ids, 10, 0);
    mu_row_store_finish(&store);
}

/* It is no part of a row: neither that is read, nor that is put back. */
static void what_a_policy_keeps_is_not_saved(void **state)
{
    (void)state;
    struct mu_row_store_options options = adapting();
    options.optimizer = &momentum;
    static const uint64_t ids[] = {4, 9};
    struct mu_row_store store, again;
    const struct mu_table_options with = {.width = WIDTH, .slot_count = 1, .has_own = true};
    size_t place = 0;
    uint64_t id;
    const float *row;
    struct mu_table *table;
    assert_ok(mu_row_store_init(&store, &options));
    assert_ok(mu_row_store_init(&again, &options));
    assert_ok(mu_table_create(&with, &table));
    assert_int_equal(mu_table_stride(table), 2 * WIDTH);
    assert_int_equal(mu_table_record_bytes(table), 8 + 4 * 3 * WIDTH);
    mu_table_destroy(table);
    expect_corrected(&store, ids, 2, 0);
    while ((row = mu_table_next(store.table, &place, &id))) {
        float copy[3 * WIDTH];
        memcpy(copy, row, 2 * sizeof(*copy) * WIDTH);
        for (size_t i = 2 * WIDTH; i < 3 * WIDTH; i++)
            copy[i] = 5;
        assert_ok(mu_table_put(again.table, id, copy));
    }
    assert_int_equal(mu_table_count(again.table).rows, 2);
    expect_corrected(&again, ids, 2, 0);
    mu_row_store_finish(&store);
    mu_row_store_finish(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_begins_with_its_first_gradient),
        cmocka_unit_test(gathered_rows_are_one_step_of_their_sum),
        cmocka_unit_test(a_step_without_rows_changes_nothing),
        cmocka_unit_test(rows_not_used_for_long_leave_and_are_counted),
        cmocka_unit_test(what_a_policy_keeps_begins_with_the_row),
        cmocka_unit_test(what_a_policy_keeps_is_not_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
