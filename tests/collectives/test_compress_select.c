/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress_select.h"
#include "runtime/base/random.h"
#include "test.h"
#include <math.h>

#define COUNT_MAX 400

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

/* Against a whole sort. */
static void check(const float *x, size_t count, size_t chosen)
{
    uint32_t sorted[COUNT_MAX];
    for (size_t i = 0; i < count; i++)
        sorted[i] = mu_compress_select_magnitude(x[i]);
    qsort(sorted, count, sizeof(*sorted), descending);
    struct mu_compress_cut cut = mu_compress_select(x, count, chosen);
    size_t above = 0;
    while (above < count && sorted[above] > cut.magnitude)
        above++;
    assert_int_equal(cut.magnitude, sorted[chosen - 1]);
    assert_int_equal(above + cut.ties, chosen);
}

static void the_cut_is_where_a_sort_would_put_it(void **state)
{
    (void)state;
    struct mu_random random;
    mu_random_init(&random, 5);
    for (int round = 0; round < 200; round++) {
        float x[COUNT_MAX];
        size_t count = 1 + mu_random_below(&random, COUNT_MAX);
        for (size_t i = 0; i < count; i++) {
            /* All exponents in some rounds; in others a few values, many times. */
            uint32_t bits = (uint32_t)mu_random_next(&random);
            bits = round % 2 ? bits : bits & 0x80400001u;
            memcpy(&x[i], &bits, sizeof(bits));
        }
        for (size_t chosen = 1; chosen <= count; chosen += 1 + count / 7)
            check(x, count, chosen);
        check(x, count, count);
    }
}

static void order_is_that_of_magnitudes_with_no_number_last(void **state)
{
    (void)state;
    const float ascending[] = {0, 1e-45f, 1e-38f, 1e-5f, 1, 1.0000001f, 3e38f, INFINITY, NAN};
    for (size_t i = 1; i < sizeof(ascending) / sizeof(ascending[0]); i++)
        assert_true(mu_compress_select_magnitude(-ascending[i - 1]) <
                    mu_compress_select_magnitude(ascending[i]));
    assert_int_equal(mu_compress_select_magnitude(-INFINITY), MU_COMPRESS_SELECT_INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_is_where_a_sort_would_put_it),
        cmocka_unit_test(order_is_that_of_magnitudes_with_no_number_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
