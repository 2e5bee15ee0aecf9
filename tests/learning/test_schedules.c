/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "runtime/base/options.h"
#include "runtime/optim/optim_kinds.h"
#include <math.h>

/* One line a case: a kind, its options as typed, a step of so many, and the factor. */
struct setting {
    const char *name, *value;
};
static const struct row {
    const struct mu_schedule_ops *kind;
    struct setting set[3];
    int64_t step, total;
    double factor;
} table[] = {
    {&mu_schedule_constant, {{NULL, NULL}}, 0, 100, 1},
    {&mu_schedule_constant, {{NULL, NULL}}, 1000, 100, 1},
    {&mu_schedule_constant, {{"warmup_steps", "4"}}, 0, 100, 0.25},
    {&mu_schedule_constant, {{"warmup_steps", "4"}}, 3, 100, 1},
    {&mu_schedule_constant, {{"warmup_steps", "4"}}, 4, 100, 1},
    {&mu_schedule_step, {{NULL, NULL}}, 99, 100, 1},
    {&mu_schedule_step, {{"every_steps", "10"}}, 9, 100, 1},
    {&mu_schedule_step, {{"every_steps", "10"}}, 10, 100, 0.1},
    {&mu_schedule_step, {{"every_steps", "10"}, {"factor", "0.5"}}, 35, 100, 0.125},
    {&mu_schedule_step, {{"at_percent", "50,75"}}, 49, 100, 1},
    {&mu_schedule_step, {{"at_percent", "50,75"}}, 50, 100, 0.1},
    {&mu_schedule_step, {{"at_percent", "50,75"}}, 75, 100, 0.01},
    {&mu_schedule_step, {{"at_percent", "50"}, {"factor", "0"}}, 60, 100, 0},
    {&mu_schedule_step, {{"every_steps", "10"}, {"warmup_steps", "20"}}, 9, 100, 0.5},
    {&mu_schedule_step, {{"every_steps", "1"}, {"factor", "0.5"}}, 1000000000000, 1000000000001, 0},
    {&mu_schedule_cosine, {{NULL, NULL}}, 0, 100, 1},
    {&mu_schedule_cosine, {{NULL, NULL}}, 50, 100, 0.5},
    {&mu_schedule_cosine, {{NULL, NULL}}, 25, 100, 0.85355339059327},
    {&mu_schedule_cosine, {{NULL, NULL}}, 100, 100, 0},
    {&mu_schedule_cosine, {{NULL, NULL}}, 5000, 100, 0},
    {&mu_schedule_cosine, {{"final_factor", "0.2"}}, 50, 100, 0.6},
    {&mu_schedule_cosine, {{"final_factor", "0.2"}}, 100, 100, 0.2},
    {&mu_schedule_cosine, {{"warmup_steps", "10"}}, 4, 110, 0.5},
    {&mu_schedule_cosine, {{"warmup_steps", "10"}}, 10, 110, 1},
    {&mu_schedule_cosine, {{"warmup_steps", "10"}}, 60, 110, 0.5},
    {&mu_schedule_cosine, {{"warmup_steps", "10"}}, 4, 5, 0.5},
};

static void every_row_of_the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < MU_COUNT_OF(table); i++) {
        const struct mu_schedule_ops *ops = table[i].kind;
        struct mu_test_log log;
        char options[256] __attribute__((aligned(16)));
        assert_true(ops->option_bytes <= sizeof(options));
        mu_options_defaults(ops->options, options);
        for (const struct setting *set = table[i].set; set->name; set++)
            assert_ok(mu_options_set(mu_test_log_init(&log), set->name,
                mu_options_find(ops->options, set->name), set->value, options));
        double factor = ops->factor(options, table[i].step, table[i].total);
        if (!(fabs(factor - table[i].factor) < 1e-12))
            fail_msg("row %zu, %s: %.15g, not %.15g", i, ops->name, factor, table[i].factor);
    }
}

static void the_cosine_falls_like_the_library_s_all_the_way(void **state)
{
    (void)state;
    const struct mu_schedule_ops *ops = &mu_schedule_cosine;
    char options[256] __attribute__((aligned(16)));
    mu_options_defaults(ops->options, options);
    double before = 1;
    for (int64_t step = 0; step <= 1000; step++) {
        double factor = ops->factor(options, step, 1000);
        assert_true(fabs(factor - 0.5 * (1 + cos(M_PI * (double)step / 1000))) < 1e-14);
        assert_true(factor <= before && factor >= 0);
        before = factor;
    }
}

static void every_kind_warms_up(void **state)
{
    (void)state;
    assert_non_null(mu_schedules[0]);
    for (int i = 0; mu_schedules[i]; i++) {
        assert_non_null(mu_options_find(mu_schedules[i]->options, "warmup_steps"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table_holds),
        cmocka_unit_test(the_cosine_falls_like_the_library_s_all_the_way),
        cmocka_unit_test(every_kind_warms_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
