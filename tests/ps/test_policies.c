/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ps/policies.h"
#include "ps/policy_kinds.h"
#include "runtime/base/options.h"

/* An option struct of any policy, filled from its rows. */
static void *defaults(const struct mu_policy_ops *policy)
{
    void *options = calloc(1, policy->option_bytes + 1);
    mu_options_defaults(policy->options, options);
    return options;
}

static struct mu_judgement judge(
    const struct mu_policy_ops *policy, const void *options, uint64_t staleness)
{
    struct mu_push_facts push = {.worker = 1,
        .replica_count = 3,
        .version = 1000,
        .version_seen = 1000 - staleness,
        .staleness = staleness};
    return policy->judge(options, &push);
}

static void every_policy_describes_itself(void **state)
{
    for (size_t i = 0; mu_policies[i]; i++) {
        assert_true(mu_policies[i]->doc[0] != '\0');
        for (const struct mu_option *row = mu_policies[i]->options; row->name; row++) {
            assert_true(row->offset < mu_policies[i]->option_bytes);
            assert_non_null(row->doc);
        }
    }
}

static void every_policy_applies_a_fresh_gradient_whole(void **state)
{
    for (size_t i = 0; mu_policies[i]; i++) {
        void *options = defaults(mu_policies[i]);
        struct mu_judgement judgement = judge(mu_policies[i], options, 0);
        assert_int_equal(judgement.verdict, MU_VERDICT_APPLY);
        assert_float_equal(judgement.scale, 1, 0);
        free(options);
    }
}

static void a_judgement_depends_on_nothing_but_the_facts(void **state)
{
    for (size_t i = 0; mu_policies[i]; i++) {
        void *options = defaults(mu_policies[i]);
        for (uint64_t staleness = 0; staleness < 40; staleness++) {
            struct mu_judgement a = judge(mu_policies[i], options, staleness);
            struct mu_judgement b = judge(mu_policies[i], options, staleness);
            assert_int_equal(a.verdict, b.verdict);
            assert_float_equal(a.scale, b.scale, 0);
            if (a.verdict == MU_VERDICT_DROP)
                assert_float_equal(a.scale, 0, 0);
        }
        free(options);
    }
}

static void async_applies_however_stale(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_async;
    assert_int_equal(judge(policy, NULL, 999).verdict, MU_VERDICT_APPLY);
}

static void drop_drops_what_is_later_than_the_bound(void **state)
{
    struct mu_test_log log;
    const struct mu_policy_ops *policy = &mu_policy_drop;
    void *options = defaults(policy);
    assert_int_equal(judge(policy, options, 16).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge(policy, options, 17).verdict, MU_VERDICT_DROP);
    assert_ok(mu_options_set(mu_test_log_init(&log), "mode.bound",
        mu_options_find(policy->options, "bound"), "0", options));
    assert_int_equal(judge(policy, options, 0).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge(policy, options, 1).verdict, MU_VERDICT_DROP);
    assert_int_equal(mu_options_set(&log.log, "mode.bound",
                         mu_options_find(policy->options, "bound"), "-1", options),
        MU_USAGE);
    free(options);
}

static void verdicts_have_names(void **state)
{
    assert_string_equal(mu_verdict_name(MU_VERDICT_APPLY), "apply");
    assert_string_equal(mu_verdict_name(MU_VERDICT_DROP), "drop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_describes_itself),
        cmocka_unit_test(every_policy_applies_a_fresh_gradient_whole),
        cmocka_unit_test(a_judgement_depends_on_nothing_but_the_facts),
        cmocka_unit_test(async_applies_however_stale),
        cmocka_unit_test(drop_drops_what_is_later_than_the_bound),
        cmocka_unit_test(verdicts_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
