/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/device/kernels.h"
#include "runtime/optim/usable.h"
#include "test.h"
#include <float.h>
#include <math.h>

/* As every instruction set says, and all of them alike. */
static bool are(const float *elements, size_t count, float limit)
{
    bool usable = mu_usable_are(elements, count, limit);
    for (int level = 0; mu_kernels_at(level); level++)
        assert_true(mu_kernels_at(level)->are_below(elements, count, limit) == usable);
    return usable;
}

static void one_element_that_is_no_number_is_found_anywhere(void **state)
{
    (void)state;
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY};
    float buffer[75];
    for (size_t i = 0; i < MU_COUNT_OF(buffer); i++)
        buffer[i] = i % 3 == 0 ? 3.4e38f : i % 3 == 1 ? -0.0f : 1e-42f;
    for (size_t count = 0; count <= MU_COUNT_OF(buffer); count++)
        assert_true(are(buffer, count, INFINITY));
    for (size_t i = 0; i < MU_COUNT_OF(buffer); i++)
        for (size_t j = 0; j < MU_COUNT_OF(wrong); j++) {
            float kept = buffer[i];
            buffer[i] = wrong[j];
            assert_false(are(buffer, MU_COUNT_OF(buffer), INFINITY));
            assert_true(are(buffer, i, INFINITY));
            buffer[i] = kept;
        }
}

static void what_reaches_the_limit_is_found_and_what_is_below_is_not(void **state)
{
    (void)state;
    static const float limits[] = {FLT_TRUE_MIN, FLT_MIN, 1, 3, 0x1p48f, FLT_MAX};
    for (size_t i = 0; i < 37; i++)
        for (size_t j = 0; j < MU_COUNT_OF(limits); j++) {
            float buffer[37] = {0};
            buffer[i] = i % 2 ? limits[j] : -limits[j];
            assert_false(are(buffer, MU_COUNT_OF(buffer), limits[j]));
            buffer[i] = nextafterf(buffer[i], 0);
            assert_true(are(buffer, MU_COUNT_OF(buffer), limits[j]));
        }
}

/* Of any scale: what is just below times it is finite, and so are the sum of a million of these and
 * the square. */
static void the_limit_leaves_room_for_products_squares_and_sums(void **state)
{
    (void)state;
    static const float scales[] = {1, -1, 0.5f, 3, 1e-30f, 1e30f, FLT_MAX, -FLT_MIN, FLT_TRUE_MIN};
    for (size_t i = 0; i < MU_COUNT_OF(scales); i++) {
        float limit = mu_usable_limit(scales[i]);
        float most = scales[i] * nextafterf(limit, 0);
        assert_true(limit > 0);
        assert_true(isfinite(most) && isfinite(1e6f * most) && isfinite(1e6f * most * most));
        assert_true(fabsf(most) <= MU_USABLE_LIMIT);
    }
    assert_true(isinf(mu_usable_limit(0)) && mu_usable_limit(1) == MU_USABLE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_element_that_is_no_number_is_found_anywhere),
        cmocka_unit_test(what_reaches_the_limit_is_found_and_what_is_below_is_not),
        cmocka_unit_test(the_limit_leaves_room_for_products_squares_and_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
