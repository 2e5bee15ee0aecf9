/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "models/auc.h"
#include "runtime/base/random.h"
#include <math.h>

#define ROWS 500

static double auc_of(const float *scores, const int32_t *labels, size_t count)
{
    double auc;
    assert_ok(mu_auc(scores, labels, count, &auc));
    return auc;
}

/* The definition: over all pairs of a row of class 1 and one of class 0. */
static double auc_by_pairs(const float *scores, const int32_t *labels, size_t count)
{
    double wins = 0, pairs = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            if (labels[i] != 1 || labels[k] != 0)
                continue;
            pairs++;
            wins += scores[i] > scores[k] ? 1 : scores[i] == scores[k] ? 0.5 : 0;
        }
    return wins / pairs;
}

static void a_perfect_order_is_one_and_its_reverse_zero(void **state)
{
    (void)state;
    const int32_t labels[] = {0, 1, 0, 1, 1}, reverse[] = {1, 0, 1, 0, 0};
    const float scores[] = {-3, 0.5F, -1e-30F, 2, INFINITY};
    assert_true(auc_of(scores, labels, 5) == 1);
    assert_true(auc_of(scores, reverse, 5) == 0);
}

static void equal_scores_count_half(void **state)
{
    (void)state;
    const int32_t labels[] = {1, 0, 0, 1};
    assert_true(auc_of((const float[]){7, 7, 7, 7}, labels, 4) == 0.5);
    assert_true(auc_of((const float[]){-0.0F, 0.0F, 0.0F, -0.0F}, labels, 4) == 0.5);
    assert_true(auc_of((const float[]){1, 1, 0, 2}, labels, 4) == 0.875);
}

static void it_is_what_all_pairs_say(void **state)
{
    (void)state;
    float scores[ROWS];
    int32_t labels[ROWS];
    struct mu_random random;
    mu_random_init(&random, 4);
    for (uint64_t grain = 1; grain <= 1000000; grain *= 100) { /* from many ties to few */
        for (int i = 0; i < ROWS; i++) {
            labels[i] = mu_random_below(&random, 4) == 0;
            float noise = (float)mu_random_below(&random, 2 * grain) / (float)grain - 1;
            scores[i] = 0.3F * (float)labels[i] + noise;
        }
        double auc = auc_of(scores, labels, ROWS);
        assert_true(fabs(auc - auc_by_pairs(scores, labels, ROWS)) < 1e-12);
        assert_true(auc > 0.5 && auc < 0.9);
    }
}

static void without_two_classes_or_with_a_score_that_is_no_number_it_is_none(void **state)
{
    (void)state;
    const float scores[] = {1, 2, NAN};
    const int32_t ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, both[] = {0, 1, 1};
    assert_true(isnan(auc_of(scores, ones, 2)));
    assert_true(isnan(auc_of(scores, zeros, 2)));
    assert_true(isnan(auc_of(scores, both, 0)));
    assert_true(auc_of(scores, both, 2) == 1);
    assert_true(isnan(auc_of(scores, both, 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_perfect_order_is_one_and_its_reverse_zero),
        cmocka_unit_test(equal_scores_count_half),
        cmocka_unit_test(it_is_what_all_pairs_say),
        cmocka_unit_test(without_two_classes_or_with_a_score_that_is_no_number_it_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
