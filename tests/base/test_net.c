/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/net.h"
#include "test.h"
#include <sched.h>

/* A loop whose turns follow a script; every turn takes one millisecond. */
static struct {
    int64_t now_ns;
    int turns, looks, yields;         /* looks: turns that may not sleep */
    int flag_at_turn, cancel_at_turn; /* 0: never */
    enum mu_status turn_status;
    bool flag;
    struct mu_loop loop;
} script;

static int64_t script_now(struct mu_world *world)
{
    (void)world;
    return script.now_ns;
}

static enum mu_status script_turn(struct mu_loop *loop, int64_t deadline_ns)
{
    script.turns++;
    script.looks += deadline_ns <= script.now_ns;
    script.now_ns += MU_MS;
    if (script.turns == script.flag_at_turn)
        script.flag = true;
    if (script.turns == script.cancel_at_turn)
        loop->cancelled = MU_UNAVAILABLE;
    return script.turn_status;
}

/* In the place of the C library's. */
int sched_yield(void)
{
    script.yields++;
    return 0;
}

static const struct mu_world_ops world_ops = {.name = "script", .now_ns = script_now};
static struct mu_world world = {.ops = &world_ops};
static const struct mu_net_ops net_ops = {.turn = script_turn};

static int script_reset(void **state)
{
    (void)state;
    memset(&script, 0, sizeof(script));
    script.loop.ops = &net_ops;
    script.loop.world = &world;
    return 0;
}

static void flag_that_is_set_needs_no_turn(void **state)
{
    (void)state;
    script.flag = true;
    assert_ok(mu_loop_until(&script.loop, &script.flag, 0));
    assert_int_equal(script.turns, 0);
}

static void turns_until_the_flag(void **state)
{
    (void)state;
    script.flag_at_turn = 5;
    assert_ok(mu_loop_until(&script.loop, &script.flag, MU_SECOND));
    assert_int_equal(script.turns, 5);
}

static void early_end_of_a_turn_is_no_timeout(void **state)
{
    (void)state;
    script.flag_at_turn = 5;
    script.turn_status = MU_TIMEOUT;
    assert_ok(mu_loop_until(&script.loop, &script.flag, MU_SECOND));
}

static void missing_flag_ends_in_timeout_at_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(mu_loop_until(&script.loop, &script.flag, 10 * MU_MS), MU_TIMEOUT);
    assert_int_equal(script.turns, 10);
}

static void busy_loop_does_not_put_off_the_deadline(void **state)
{
    (void)state;
    script.turn_status = MU_OK;
    script.flag_at_turn = 11;
    assert_int_equal(mu_loop_until(&script.loop, &script.flag, 10 * MU_MS), MU_TIMEOUT);
}

static void passed_deadline_still_polls_once(void **state)
{
    (void)state;
    script.now_ns = MU_SECOND;
    script.flag_at_turn = 1;
    assert_ok(mu_loop_until(&script.loop, &script.flag, 0));
    script.flag = false;
    assert_int_equal(mu_loop_until(&script.loop, &script.flag, 0), MU_TIMEOUT);
    assert_int_equal(script.turns, 2);
}

static void cancelled_loop_ends_every_wait(void **state)
{
    (void)state;
    script.cancel_at_turn = 3;
    script.flag_at_turn = 3;
    assert_int_equal(mu_loop_until(&script.loop, &script.flag, MU_SECOND), MU_UNAVAILABLE);
    assert_int_equal(script.turns, 3);
    assert_int_equal(mu_loop_until(&script.loop, &script.flag, MU_SECOND), MU_UNAVAILABLE);
    assert_int_equal(script.turns, 3);
}

static void a_loop_that_spins_looks_before_it_sleeps(void **state)
{
    (void)state;
    script.loop.processors = 2;
    script.loop.spin_ns = 4 * MU_MS;
    script.turn_status = MU_TIMEOUT;
    script.flag_at_turn = 7;
    assert_ok(mu_loop_until(&script.loop, &script.flag, MU_SECOND));
    assert_int_equal(script.turns, 7);
    assert_int_equal(script.looks, 4);
    assert_int_equal(script.yields, 4); /* others run between two looks */
}

static void a_loop_that_does_not_spin_sleeps_at_once(void **state)
{
    (void)state;
    script.flag_at_turn = 7;
    script.turn_status = MU_TIMEOUT;
    assert_ok(mu_loop_until(&script.loop, &script.flag, MU_SECOND));
    assert_int_equal(script.looks + script.yields, 0);
}

static void deadlines_saturate(void **state)
{
    (void)state;
    assert_int_equal(mu_deadline(5, 7), 12);
    assert_int_equal(mu_deadline(5, MU_FOREVER), MU_FOREVER);
    assert_int_equal(mu_deadline(MU_FOREVER - 1, 2), MU_FOREVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(flag_that_is_set_needs_no_turn, script_reset),
        cmocka_unit_test_setup(turns_until_the_flag, script_reset),
        cmocka_unit_test_setup(early_end_of_a_turn_is_no_timeout, script_reset),
        cmocka_unit_test_setup(missing_flag_ends_in_timeout_at_the_deadline, script_reset),
        cmocka_unit_test_setup(busy_loop_does_not_put_off_the_deadline, script_reset),
        cmocka_unit_test_setup(passed_deadline_still_polls_once, script_reset),
        cmocka_unit_test_setup(cancelled_loop_ends_every_wait, script_reset),
        cmocka_unit_test_setup(a_loop_that_spins_looks_before_it_sleeps, script_reset),
        cmocka_unit_test_setup(a_loop_that_does_not_spin_sleeps_at_once, script_reset),
        cmocka_unit_test(deadlines_saturate),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
