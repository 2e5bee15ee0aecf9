/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps/policy_kinds.h"
#include "ps/ps_plan.h"
#include "runtime/base/options.h"
#include "test.h"

/* Four replicas: each gradient until 10, then means of 3 until 20, then the first 3 of 4 until 30,
 * then each gradient again. */
static const struct mu_ps_plan plan = {.replica_count = 4,
    .phase_count = 4,
    .phase = {{.mode = {.kind = MU_PS_ASYNC}, .policy = &mu_policy_apply},
        {.from = 10, .mode = {.kind = MU_PS_SOFTSYNC, .gradients = 3}, .policy = &mu_policy_apply},
        {.from = 20, .mode = {.kind = MU_PS_SYNC, .workers = 3}, .policy = &mu_policy_apply},
        {.from = 30, .mode = {.kind = MU_PS_BOUNDED}, .policy = &mu_policy_apply}}};

static void a_phase_holds_from_its_version_on(void **state)
{
    static const int64_t versions[] = {0, 9, 10, 19, 20, 29, 30, INT64_MAX};
    static const int phases[] = {0, 0, 1, 1, 2, 2, 3, 3};
    for (size_t i = 0; i < MU_COUNT_OF(versions); i++)
        assert_int_equal(mu_ps_plan_at(&plan, versions[i]), phases[i]);
}

static void gradients_and_versions_are_counted_through_all_phases(void **state)
{
    static const struct {
        int64_t version, gradients, counted;
    } rows[] = {{0, 0, 0}, {1, 1, 1}, {10, 10, 10}, {11, 13, 13}, {20, 40, 40}, {21, 44, 43},
        {30, 80, 70}, {35, 85, 75}};
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        assert_int_equal(mu_ps_plan_gradients(&plan, rows[i].version), rows[i].gradients);
        assert_int_equal(mu_ps_plan_counted(&plan, rows[i].version), rows[i].counted);
        assert_int_equal(mu_ps_plan_versions(&plan, rows[i].gradients), rows[i].version);
    }
    assert_int_equal(mu_ps_plan_versions(&plan, 11), 11); /* begun */
    assert_int_equal(mu_ps_plan_versions(&plan, 41), 21);
}

static void counts_do_not_overflow(void **state)
{
    assert_true(mu_ps_plan_gradients(&plan, INT64_MAX) >= INT64_MAX / 4);
    assert_true(mu_ps_plan_versions(&plan, INT64_MAX) >= INT64_MAX / 4);
    const struct mu_ps_plan wide = {.replica_count = 1024,
        .phase_count = 1,
        .phase = {{.mode = {.kind = MU_PS_SYNC, .workers = 1000}, .policy = &mu_policy_apply}}};
    assert_true(mu_ps_plan_gradients(&wide, INT64_MAX / 2) >= INT64_MAX / 4);
}

/* One replica trains alone, whatever the phase. */
static void a_warm_up_counts_each_gradient(void **state)
{
    struct mu_ps_plan warm = plan;
    for (int i = 0; i < warm.phase_count; i++)
        warm.phase[i].mode.warmup_steps = 15;
    assert_int_equal(mu_ps_plan_gradients(&warm, 15), 15);
    assert_int_equal(mu_ps_plan_gradients(&warm, 20), 30);
    assert_int_equal(mu_ps_plan_versions(&warm, 15), 15);
    assert_int_equal(mu_ps_plan_versions(&warm, 16), 16);
    assert_int_equal(mu_ps_plan_versions(&warm, 30), 20);
}

static void the_memory_is_that_of_the_phase_that_needs_most(void **state)
{
    struct mu_ps_plan some = plan;
    assert_int_equal(mu_ps_plan_gathered_max(&some), 3);
    assert_true(mu_ps_plan_gathers(&some));
    assert_null(mu_ps_plan_correcting(&some));
    some.phase[3].policy = &mu_policy_compensate;
    assert_ptr_equal(mu_ps_plan_correcting(&some), &mu_policy_compensate);
    void *options = calloc(1, mu_policy_compensate.option_bytes);
    assert_non_null(options);
    some.phase[3].policy_options = options; /* zeros: not adaptive */
    assert_false(mu_ps_plan_adapts(&some));
    mu_options_defaults(mu_policy_compensate.options, options);
    assert_true(mu_ps_plan_adapts(&some));
    assert_true(mu_ps_plan_waits(&some));
    some.phase_count = 1;
    assert_false(mu_ps_plan_adapts(&some));
    free(options);
    assert_false(mu_ps_plan_gathers(&some));
    assert_null(mu_ps_plan_correcting(&some));
    assert_false(mu_ps_plan_waits(&some));
}

static void clocks_begin_anew_where_waiting_for_the_slowest_begins(void **state)
{
    struct mu_ps_plan some = plan;
    static const bool restarts[] = {false, false, false, true};
    for (int i = 0; i < some.phase_count; i++)
        assert_int_equal(mu_ps_plan_restarts_clocks(&some, i), restarts[i]);
    some.phase[2].mode = (struct mu_ps_mode){.kind = MU_PS_BOUNDED, .bound = 2};
    assert_true(mu_ps_plan_restarts_clocks(&some, 2));
    assert_false(mu_ps_plan_restarts_clocks(&some, 3)); /* it goes on */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_phase_holds_from_its_version_on),
        cmocka_unit_test(gradients_and_versions_are_counted_through_all_phases),
        cmocka_unit_test(counts_do_not_overflow),
        cmocka_unit_test(a_warm_up_counts_each_gradient),
        cmocka_unit_test(the_memory_is_that_of_the_phase_that_needs_most),
        cmocka_unit_test(clocks_begin_anew_where_waiting_for_the_slowest_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
