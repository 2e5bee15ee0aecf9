/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/arrivals.h"
#include "runtime/base/random.h"
#include "test.h"
#include <math.h>

#define WORKERS 4
#define STEPS 6

static struct mu_arrivals arrivals;

static int begin(void **state)
{
    return mu_arrivals_init(&arrivals, WORKERS, STEPS) == MU_OK ? 0 : 1;
}

static int end(void **state)
{
    mu_arrivals_finish(&arrivals);
    return 0;
}

static void fill(const double seconds[WORKERS][STEPS])
{
    for (int w = 0; w < WORKERS; w++)
        for (int k = 0; k < STEPS; k++)
            mu_arrivals_add(&arrivals, w, seconds[w][k]);
}

static void it_is_full_when_each_worker_has_all_its_times(void **state)
{
    for (int k = 0; k < STEPS; k++)
        for (int w = 0; w < WORKERS; w++) {
            assert_false(mu_arrivals_full(&arrivals));
            mu_arrivals_add(&arrivals, w, 1);
        }
    assert_true(mu_arrivals_full(&arrivals));
    mu_arrivals_add(&arrivals, 0, 1000); /* one too many counts for nothing */
    assert_float_equal(mu_arrivals_sync(&arrivals, WORKERS), STEPS, 1e-9);
    mu_arrivals_clear(&arrivals);
    assert_false(mu_arrivals_full(&arrivals));
}

static const double even[WORKERS][STEPS] = {
    {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}};

static void equal_workers_need_no_backup_and_no_bound(void **state)
{
    fill(even);
    struct mu_arrivals_choice backups = mu_arrivals_choose_backups(&arrivals);
    struct mu_arrivals_choice bound = mu_arrivals_choose_bound(&arrivals);
    assert_int_equal(backups.value, 0);
    assert_float_equal(backups.gain, 1, 0);
    assert_int_equal(bound.value, 0);
    assert_float_equal(bound.gain, 1, 0);
}

/* One worker is always ten times as slow: three do ten times the steps with 3/4 of the gradients.
 */
static void a_slow_worker_is_a_backup(void **state)
{
    static const double slow[WORKERS][STEPS] = {
        {1, 1, 1, 1, 1, 1}, {10, 10, 10, 10, 10, 10}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}};
    fill(slow);
    struct mu_arrivals_choice choice = mu_arrivals_choose_backups(&arrivals);
    assert_int_equal(choice.value, 1);
    assert_float_equal(choice.gain, 7.5, 1e-6);
    /* No bound helps for long: in the end all go as fast as the slowest. */
    assert_float_equal(mu_arrivals_bounded(&arrivals, 0), 60, 1e-9);
}

/* Worker 0 takes 5 s once: with one backup it misses the steps at 1, 2, 3, 4 s and is there again
 * for the sixth. Order statistics of each step alone know of one step that is missed. */
static void who_is_late_for_one_step_is_late_for_the_next(void **state)
{
    static const double once[WORKERS][STEPS] = {
        {5, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 3, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}};
    fill(once);
    assert_float_equal(mu_arrivals_sync(&arrivals, 4), 5 + 3 + 4, 1e-9);
    /* The fifth step takes 2 s: worker 0 begins it at 5 s, for worker 1 takes 3. */
    assert_float_equal(mu_arrivals_sync(&arrivals, 3), 4 + 2 + 1, 1e-9);
    assert_float_equal(mu_arrivals_sync(&arrivals, 2), 6, 1e-9);
}

/* Each is slow once, in steps of their own. In step all wait each time; a bound of 1 lets the
 * others go on meanwhile. */
static void a_bound_hides_what_is_slow_in_turns(void **state)
{
    static const double turns[WORKERS][STEPS] = {
        {3, 1, 1, 1, 1, 1}, {1, 3, 1, 1, 1, 1}, {1, 1, 3, 1, 1, 1}, {1, 1, 1, 3, 1, 1}};
    fill(turns);
    assert_float_equal(mu_arrivals_bounded(&arrivals, 0), 4 * 3 + 2, 1e-9);
    assert_true(mu_arrivals_bounded(&arrivals, 2) < 9);
    struct mu_arrivals_choice choice = mu_arrivals_choose_bound(&arrivals);
    assert_true(choice.value >= 1 && choice.value <= 2);
    assert_true(choice.gain > 1.5);
}

/* Independent times: the step is that of the order statistics, if nobody is so late that he misses
 * the next one too. */
static void steps_are_those_of_order_statistics(void **state)
{
    enum { MANY = 8, LONG = 4000 };
    struct mu_arrivals many;
    struct mu_random random;
    double expected[3] = {0};
    assert_ok(mu_arrivals_init(&many, MANY, LONG));
    mu_random_init(&random, 7);
    for (int k = 0; k < LONG; k++)
        for (int w = 0; w < MANY; w++)
            mu_arrivals_add(&many, w, 1 + (double)mu_random_below(&random, 1 << 20) / (1 << 20));
    /* Uniform on 1 to 2: the i-th of n is at 1 + i / (n + 1) in the mean. */
    for (int b = 0; b < 3; b++)
        expected[b] = 1 + (double)(MANY - b) / (MANY + 1);
    assert_float_equal(mu_arrivals_sync(&many, MANY) / LONG, expected[0], 0.01);
    /* Who is late by less than a step misses that one alone and begins the next with the others. */
    assert_true(mu_arrivals_sync(&many, MANY - 1) / LONG >= expected[1] - 0.01);
    assert_true(mu_arrivals_sync(&many, MANY - 2) / LONG >= expected[2] - 0.01);
    assert_true(mu_arrivals_sync(&many, MANY - 1) < mu_arrivals_sync(&many, MANY));
    mu_arrivals_finish(&many);
}

static void the_same_times_give_the_same_choice(void **state)
{
    struct mu_arrivals_choice first = {0};
    for (int again = 0; again < 3; again++) {
        struct mu_random random;
        mu_random_init(&random, 5);
        mu_arrivals_clear(&arrivals);
        for (int k = 0; k < STEPS; k++)
            for (int w = 0; w < WORKERS; w++)
                mu_arrivals_add(&arrivals, w, (double)(1 + mu_random_below(&random, 9)));
        struct mu_arrivals_choice choice = mu_arrivals_choose_backups(&arrivals);
        if (again == 0)
            first = choice;
        assert_memory_equal(&choice, &first, sizeof(choice));
    }
}

static void no_time_at_all_is_no_gain(void **state)
{
    for (int k = 0; k < STEPS; k++)
        for (int w = 0; w < WORKERS; w++)
            mu_arrivals_add(&arrivals, w, 0);
    assert_int_equal(mu_arrivals_choose_backups(&arrivals).value, 0);
    assert_int_equal(mu_arrivals_choose_bound(&arrivals).value, 0);
}

static void the_times_of_many_workers_are_bounded(void **state)
{
    struct mu_arrivals many;
    assert_ok(mu_arrivals_init(&many, 1024, 10000));
    assert_int_equal(many.step_count, MU_ARRIVALS_TIMES_MAX / 1024);
    mu_arrivals_finish(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_full_when_each_worker_has_all_its_times, begin, end),
        cmocka_unit_test_setup_teardown(equal_workers_need_no_backup_and_no_bound, begin, end),
        cmocka_unit_test_setup_teardown(a_slow_worker_is_a_backup, begin, end),
        cmocka_unit_test_setup_teardown(who_is_late_for_one_step_is_late_for_the_next, begin, end),
        cmocka_unit_test_setup_teardown(a_bound_hides_what_is_slow_in_turns, begin, end),
        cmocka_unit_test(steps_are_those_of_order_statistics),
        cmocka_unit_test_setup_teardown(the_same_times_give_the_same_choice, begin, end),
        cmocka_unit_test_setup_teardown(no_time_at_all_is_no_gain, begin, end),
        cmocka_unit_test(the_times_of_many_workers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
