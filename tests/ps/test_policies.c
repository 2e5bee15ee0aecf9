/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ps/policies.h"
#include "ps/policy_kinds.h"
#include "runtime/base/options.h"
#include <math.h>

/* An option struct of any policy, filled from its rows. */
static void *defaults(const struct mu_policy_ops *policy)
{
    void *options = calloc(1, policy->option_bytes + 1);
    mu_options_defaults(policy->options, options);
    return options;
}

static struct mu_judgement judge_bound(
    const struct mu_policy_ops *policy, const void *options, uint64_t staleness, uint64_t bound)
{
    struct mu_push_facts push = {.worker = 1,
        .replica_count = 3,
        .version = 1000,
        .version_seen = 1000 - staleness,
        .staleness = staleness,
        .bound = bound,
        .has_seen = true};
    return policy->judge(options, &push);
}

static struct mu_judgement judge(
    const struct mu_policy_ops *policy, const void *options, uint64_t staleness)
{
    return judge_bound(policy, options, staleness, 16);
}

static void set(const struct mu_policy_ops *policy, const char *name, const char *value, void *out)
{
    struct mu_test_log log;
    assert_ok(mu_options_set(
        mu_test_log_init(&log), name, mu_options_find(policy->options, name), value, out));
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
        /* A correction of a fresh gradient changes nothing in it. */
        assert_true(judgement.verdict == MU_VERDICT_APPLY ||
                    (judgement.verdict == MU_VERDICT_CORRECT && mu_policies[i]->correct));
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

static void apply_applies_however_stale(void **state)
{
    assert_int_equal(judge(&mu_policy_apply, NULL, 999).verdict, MU_VERDICT_APPLY);
}

static void drop_drops_what_is_later_than_the_bound(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_drop;
    assert_int_equal(judge(policy, NULL, 16).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge(policy, NULL, 17).verdict, MU_VERDICT_DROP);
    assert_int_equal(judge_bound(policy, NULL, 0, 0).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge_bound(policy, NULL, 1, 0).verdict, MU_VERDICT_DROP);
}

static void scale_divides_by_a_power_of_the_staleness(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_scale;
    void *options = defaults(policy);
    for (uint64_t staleness = 0; staleness <= 1; staleness++)
        assert_int_equal(judge(policy, options, staleness).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge(policy, options, 4).verdict, MU_VERDICT_SCALE);
    assert_float_equal(judge(policy, options, 4).scale, 0.25, 0);
    assert_float_equal(judge(policy, options, 10).scale, 0.1f, 0);
    set(policy, "power", "0.5", options);
    assert_float_equal(judge(policy, options, 4).scale, 0.5, 0);
    set(policy, "power", "0", options);
    assert_int_equal(judge(policy, options, 4).verdict, MU_VERDICT_APPLY);
    free(options);
}

static void correct(const struct mu_policy_ops *policy, const void *options, float *gradient,
    const float *parameters, const float *seen, float *mean_square)
{
    const struct mu_correct_block block = {.count = 2,
        .gradients = gradient,
        .scale = 0.5f,
        .parameters = parameters,
        .seen = seen,
        .mean_square = mean_square};
    policy->correct(options, &block);
}

/* A gradient that was found usable stays so, if it must without its correction. */
static void a_correction_that_leads_beyond_all_numbers_is_left_out(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_compensate;
    static const char *const kinds[] = {"false", "true"};
    const float parameters[2] = {3e38f, 1}, seen[2] = {-3e38f, 0};
    for (size_t i = 0; i < MU_COUNT_OF(kinds); i++) {
        float gradient[2] = {0x1p48f, 2}, mean_square[2] = {0};
        void *options = defaults(policy);
        set(policy, "adaptive", kinds[i], options);
        correct(policy, options, gradient, parameters, seen, mean_square);
        assert_float_equal(gradient[0], 0x1p47f, 0);
        assert_true(gradient[1] > 1 && gradient[1] < 10);
        free(options);
    }
}

/* g + lambda g g (w - w_seen), g scaled first. */
static void compensate_follows_the_formula_with_a_constant(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_compensate;
    float gradient[2] = {4, -2}, mean_square[2] = {0};
    const float parameters[2] = {3, 1}, seen[2] = {1, 2};
    void *options = defaults(policy);
    set(policy, "adaptive", "false", options);
    set(policy, "lambda", "0.25", options);
    assert_int_equal(judge(policy, options, 0).verdict, MU_VERDICT_APPLY);
    assert_int_equal(judge(policy, options, 1).verdict, MU_VERDICT_CORRECT);
    correct(policy, options, gradient, parameters, seen, mean_square);
    assert_float_equal(gradient[0], 2 + 0.25f * 4 * 2, 0);
    assert_float_equal(gradient[1], -1 + 0.25f * 1 * -1, 0);
    assert_float_equal(mean_square[0], 0, 0);
    free(options);
}

/* lambda0 / sqrt(ms + eps), ms = m ms + (1 - m) g g, twice. */
static void compensate_adapts_to_the_mean_square(void **state)
{
    const struct mu_policy_ops *policy = &mu_policy_compensate;
    float mean_square[2] = {0};
    const float parameters[2] = {3, 1}, seen[2] = {1, 2};
    double expected = 0;
    void *options = defaults(policy);
    assert_int_equal(judge(policy, options, 0).verdict, MU_VERDICT_CORRECT);
    for (int i = 0; i < 2; i++) {
        float gradient[2] = {4, -2};
        correct(policy, options, gradient, parameters, seen, mean_square);
        expected = 0.95 * expected + 0.05 * 4;
        assert_float_equal(mean_square[0], expected, 1e-6);
        assert_float_equal(gradient[0], 2 + 2 / sqrt(expected + 1e-7) * 4 * 2, 1e-4);
    }
    free(options);
}

static void compensate_without_what_was_seen_applies(void **state)
{
    void *options = defaults(&mu_policy_compensate);
    struct mu_push_facts push = {.staleness = 3};
    assert_int_equal(mu_policy_compensate.judge(options, &push).verdict, MU_VERDICT_APPLY);
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
        cmocka_unit_test(apply_applies_however_stale),
        cmocka_unit_test(drop_drops_what_is_later_than_the_bound),
        cmocka_unit_test(scale_divides_by_a_power_of_the_staleness),
        cmocka_unit_test(a_correction_that_leads_beyond_all_numbers_is_left_out),
        cmocka_unit_test(compensate_follows_the_formula_with_a_constant),
        cmocka_unit_test(compensate_adapts_to_the_mean_square),
        cmocka_unit_test(compensate_without_what_was_seen_applies),
        cmocka_unit_test(verdicts_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
