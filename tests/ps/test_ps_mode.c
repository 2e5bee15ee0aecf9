/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps/policy_kinds.h"
#include "ps/ps_mode.h"
#include "test.h"

static const struct mu_push_facts fresh = {.worker = 1,
    .replica_count = 4,
    .version_seen = 7,
    .version = 7,
    .active_count = 4,
    .clock = 5};

static struct mu_ps_decision decide(
    const struct mu_ps_mode *mode, const struct mu_policy_ops *policy, struct mu_push_facts facts)
{
    facts.bound = (uint64_t)mode->bound;
    return mu_ps_mode_decide(mode, policy, NULL, &facts);
}

static void async_waits_for_nobody(void **state)
{
    const struct mu_ps_mode mode = {.kind = MU_PS_ASYNC, .bound = 2};
    struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, fresh);
    assert_int_equal(decision.judgement.verdict, MU_VERDICT_APPLY);
    assert_int_equal(decision.average, 0);
    assert_int_equal(decision.version_awaited, 0);
    assert_int_equal(decision.clock_awaited, 0);
    struct mu_push_facts late = fresh;
    late.staleness = 3;
    assert_int_equal(decide(&mode, &mu_policy_drop, late).judgement.verdict, MU_VERDICT_DROP);
}

static void softsync_steps_at_so_many_gradients(void **state)
{
    const struct mu_ps_mode mode = {.kind = MU_PS_SOFTSYNC, .gradients = 3, .bound = 0};
    struct mu_push_facts facts = fresh;
    for (facts.gathered = 0; facts.gathered < 3; facts.gathered++) {
        struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, facts);
        assert_int_equal(decision.judgement.verdict, MU_VERDICT_GATHER);
        assert_int_equal(decision.average, facts.gathered == 2 ? 3 : 0);
        assert_int_equal(decision.version_awaited, 0);
    }
    facts.gathered = 2;
    facts.staleness = 1; /* dropped: it completes nothing */
    assert_int_equal(decide(&mode, &mu_policy_drop, facts).judgement.verdict, MU_VERDICT_DROP);
    assert_int_equal(decide(&mode, &mu_policy_drop, facts).average, 0);
    assert_int_equal(mu_ps_mode_left(&mode, 2, 1), 0);
    assert_int_equal(mu_ps_mode_left(&mode, 2, 0), 2); /* the last one: with what there is */
    assert_int_equal(mu_ps_mode_left(&mode, 0, 0), 0);
}

static void sync_takes_the_first_and_drops_the_late(void **state)
{
    const struct mu_ps_mode mode = {.kind = MU_PS_SYNC, .workers = 2};
    struct mu_push_facts facts = fresh;
    struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, facts);
    assert_int_equal(decision.judgement.verdict, MU_VERDICT_GATHER);
    assert_int_equal(decision.average, 0);
    assert_int_equal(decision.version_awaited, 8);
    facts.gathered = 1;
    decision = decide(&mode, &mu_policy_apply, facts);
    assert_int_equal(decision.average, 2);
    facts.staleness = 1;
    decision = decide(&mode, &mu_policy_apply, facts);
    assert_int_equal(decision.judgement.verdict, MU_VERDICT_DROP);
    assert_int_equal(decision.version_awaited, 0); /* sent on at once */
}

static void sync_takes_all_when_less_are_left_than_a_step_wants(void **state)
{
    const struct mu_ps_mode mode = {.kind = MU_PS_SYNC, .workers = 3};
    struct mu_push_facts facts = fresh;
    facts.active_count = 1;
    assert_int_equal(decide(&mode, &mu_policy_apply, facts).average, 1);
    assert_int_equal(mu_ps_mode_left(&mode, 2, 3), 0);
    assert_int_equal(mu_ps_mode_left(&mode, 2, 2), 2);
    assert_int_equal(mu_ps_mode_left(&mode, 0, 2), 0);
}

static void bounded_waits_for_the_slowest_and_drops_nothing(void **state)
{
    struct mu_ps_mode mode = {.kind = MU_PS_BOUNDED, .bound = 2};
    struct mu_push_facts facts = fresh;
    facts.staleness = 7;
    struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, facts);
    assert_int_equal(decision.judgement.verdict, MU_VERDICT_APPLY);
    assert_int_equal(decision.clock_awaited, 3);
    facts.clock = 2;
    assert_int_equal(decide(&mode, &mu_policy_apply, facts).clock_awaited, 0);
    mode.bound = 0;
    assert_int_equal(decide(&mode, &mu_policy_apply, facts).clock_awaited, 2);
}

static void what_is_flawed_is_refused_in_every_mode(void **state)
{
    struct mu_push_facts facts = fresh;
    facts.is_flawed = true;
    for (int kind = MU_PS_ASYNC; kind <= (int)MU_PS_BOUNDED; kind++) {
        const struct mu_ps_mode mode = {
            .kind = (enum mu_ps_mode_kind)kind, .workers = 1, .gradients = 1};
        struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, facts);
        assert_int_equal(decision.judgement.verdict, MU_VERDICT_REFUSE);
        assert_int_equal(decision.average, 0);
        assert_int_equal(decision.version_awaited, 0);
    }
}

static void in_the_warm_up_each_gradient_is_a_step(void **state)
{
    struct mu_push_facts facts = fresh;
    facts.warming_up = true;
    for (int kind = MU_PS_ASYNC; kind <= (int)MU_PS_BOUNDED; kind++) {
        const struct mu_ps_mode mode = {
            .kind = (enum mu_ps_mode_kind)kind, .workers = 2, .gradients = 2, .warmup_steps = 9};
        struct mu_ps_decision decision = decide(&mode, &mu_policy_apply, facts);
        assert_int_equal(decision.judgement.verdict, MU_VERDICT_APPLY);
        assert_int_equal(decision.version_awaited, 0);
        assert_int_equal(decision.clock_awaited, 0);
        assert_int_equal(mu_ps_mode_first_pull(&mode, 0), 0);
        assert_int_equal(mu_ps_mode_first_pull(&mode, 1), 9);
    }
}

static void what_is_chosen_must_be_possible(void **state)
{
    struct mu_ps_mode sync = {.kind = MU_PS_SYNC, .workers = 4, .auto_steps = 9};
    struct mu_ps_mode bounded = {.kind = MU_PS_BOUNDED, .auto_steps = 9};
    struct mu_ps_mode fixed = {.kind = MU_PS_SYNC, .workers = 4};
    struct mu_ps_mode async = {.kind = MU_PS_ASYNC};
    assert_true(mu_ps_mode_choose(&sync, 4, 3));
    assert_int_equal(sync.workers, 1);
    assert_true(mu_ps_mode_choose(&sync, 4, 0));
    assert_int_equal(sync.workers, 4);
    assert_false(mu_ps_mode_choose(&sync, 4, 4));
    assert_false(mu_ps_mode_choose(&sync, 4, -1));
    assert_int_equal(sync.workers, 4);
    assert_true(mu_ps_mode_choose(&bounded, 4, 16));
    assert_int_equal(bounded.bound, 16);
    assert_false(mu_ps_mode_choose(&bounded, 4, 17));
    assert_false(mu_ps_mode_choose(&fixed, 4, 1));
    assert_false(mu_ps_mode_choose(&async, 4, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(async_waits_for_nobody),
        cmocka_unit_test(softsync_steps_at_so_many_gradients),
        cmocka_unit_test(sync_takes_the_first_and_drops_the_late),
        cmocka_unit_test(sync_takes_all_when_less_are_left_than_a_step_wants),
        cmocka_unit_test(bounded_waits_for_the_slowest_and_drops_nothing),
        cmocka_unit_test(what_is_flawed_is_refused_in_every_mode),
        cmocka_unit_test(in_the_warm_up_each_gradient_is_a_step),
        cmocka_unit_test(what_is_chosen_must_be_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
