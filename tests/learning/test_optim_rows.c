/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "numbers.h"
#include "runtime/base/options.h"
#include "runtime/optim/optimizers.h"
#include "runtime/optim/rows.h"

/* Conformance: for every optimizer, a step over rows is the step over each of them, bit for bit,
 * wherever they lie and however many there are. */
#define ROWS 150
#define WIDTH_MAX 600
#define STEPS 4
#define STRIDE_MAX ((1 + MU_SLOTS_MAX) * WIDTH_MAX)

static const size_t widths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, WIDTH_MAX};

static struct {
    float memory[ROWS * STRIDE_MAX + 1], expected[ROWS * STRIDE_MAX + 1];
    float gradients[ROWS * WIDTH_MAX];
    float *row[ROWS];
} table;

static void step_one_row(const struct mu_optimizer_ops *ops, const void *options,
    const struct mu_optim_rows *rows, size_t index, float *row)
{
    static float vectors[1 + MU_SLOTS_MAX][WIDTH_MAX] __attribute__((aligned(64)));
    static float gradients[WIDTH_MAX] __attribute__((aligned(64)));
    size_t bytes = rows->width * sizeof(float);
    struct mu_optim_step step = {.count = rows->width,
        .parameters = vectors[0],
        .gradients = gradients,
        .learning_rate = rows->learning_rate,
        .weight_decay = rows->weight_decay,
        .gradient_scale = rows->gradient_scale,
        .step = rows->step};
    memcpy(gradients, rows->gradients + index * rows->width, bytes);
    for (int i = 0; i <= ops->slot_count; i++) {
        memcpy(vectors[i], row + (size_t)i * rows->width, bytes);
        if (i > 0)
            step.slots[i - 1] = vectors[i];
    }
    ops->step(options, &step);
    for (int i = 0; i <= ops->slot_count; i++)
        memcpy(row + (size_t)i * rows->width, vectors[i], bytes);
}

/* Rows in no order, each as far from 64 bytes as its width brings it. */
static void begin(const struct mu_optimizer_ops *ops, size_t width)
{
    size_t stride = width * (size_t)(1 + ops->slot_count);
    memset(&table, 0, sizeof(table));
    for (size_t i = 0; i < ROWS; i++) {
        table.row[i] = table.memory + 1 + (i * 77 % ROWS) * stride;
        numbers_fill(table.row[i], width, i + 1);
    }
    memcpy(table.expected, table.memory, sizeof(table.memory));
}

static void check(const struct mu_optimizer_ops *ops, const void *options, size_t width,
    size_t count, int64_t step)
{
    struct mu_optim_rows rows = {.count = count,
        .width = width,
        .row = table.row,
        .gradients = table.gradients,
        .learning_rate = 0.05F,
        .weight_decay = 0.02F,
        .gradient_scale = 0.5F,
        .step = step};
    numbers_fill(table.gradients, count * width, (uint64_t)step + 100);
    for (size_t i = 0; i < count; i++)
        step_one_row(ops, options, &rows, i, table.expected + (table.row[i] - table.memory));
    mu_optim_step_rows(ops, options, &rows);
    if (memcmp(table.memory, table.expected, sizeof(table.memory)) != 0)
        fail_msg("%s: %zu rows of %zu differ at step %d", ops->name, count, width, (int)step);
}

static void run(const struct mu_optimizer_ops *ops, size_t width)
{
    char options[256] __attribute__((aligned(16)));
    mu_options_defaults(ops->options, options);
    begin(ops, width);
    for (int64_t step = 1; step <= STEPS; step++) {
        check(ops, options, width, ROWS, step);
        check(ops, options, width, (size_t)step, step); /* few: there is no row ahead */
    }
    check(ops, options, width, 0, STEPS + 1);
}

static void rows_get_the_bits_of_a_step_over_each(void **state)
{
    (void)state;
    for (int i = 0; mu_optimizers[i]; i++)
        for (size_t w = 0; w < MU_COUNT_OF(widths); w++)
            run(mu_optimizers[i], widths[w]);
}

static void an_optimizer_without_a_loop_over_rows_gives_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; mu_optimizers[i]; i++) {
        struct mu_optimizer_ops copied = *mu_optimizers[i];
        copied.step_rows = NULL;
        for (size_t w = 0; w < MU_COUNT_OF(widths); w++)
            run(&copied, widths[w]);
    }
}

static void look_at_alignment(const void *options, const struct mu_optim_step *step)
{
    (void)options;
    assert_true((uintptr_t)step->parameters % 64 == 0 && (uintptr_t)step->gradients % 64 == 0 &&
                (uintptr_t)step->slots[0] % 64 == 0 && (uintptr_t)step->slots[1] % 64 == 0);
    assert_null(step->slots[2]);
    assert_int_equal(step->rank, 0);
}

static void a_step_gets_aligned_copies_of_rows_that_are_not(void **state)
{
    (void)state;
    const struct mu_optimizer_ops looking = {
        .name = "looking", .slot_count = 2, .step = look_at_alignment};
    begin(&looking, 17);
    struct mu_optim_rows rows = {
        .count = ROWS, .width = 17, .row = table.row, .gradients = table.gradients};
    mu_optim_step_rows(&looking, NULL, &rows);
    assert_memory_equal(table.memory, table.expected, sizeof(table.memory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_get_the_bits_of_a_step_over_each),
        cmocka_unit_test(an_optimizer_without_a_loop_over_rows_gives_the_same_bits),
        cmocka_unit_test(a_step_gets_aligned_copies_of_rows_that_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
