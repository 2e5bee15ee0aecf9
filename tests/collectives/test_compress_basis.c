/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress_basis.h"
#include "runtime/base/random.h"
#include "test.h"
#include <math.h>

#define ROWS 50
#define COLUMNS 4

static void draw(float x[ROWS * COLUMNS], double scale)
{
    struct mu_random random;
    mu_random_init(&random, 11);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)(scale * (mu_random_unit(&random) - 0.3));
}

static double dot(const float *x, int a, int b)
{
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        sum += (double)x[i * COLUMNS + a] * (double)x[i * COLUMNS + b];
    return sum;
}

static void assert_orthonormal(const float *x, int columns)
{
    for (int a = 0; a < columns; a++)
        for (int b = 0; b < columns; b++)
            assert_true(fabs(dot(x, a, b) - (a == b)) < 1e-6);
}

static void columns_become_orthonormal_at_any_scale(void **state)
{
    (void)state;
    static const double scales[] = {1, 1e-30, 1e30};
    for (int i = 0; i < 3; i++) {
        float x[ROWS * COLUMNS];
        draw(x, scales[i]);
        mu_compress_basis(x, ROWS, COLUMNS);
        assert_orthonormal(x, COLUMNS);
    }
}

static void columns_that_almost_coincide_end_orthogonal(void **state)
{
    (void)state;
    float x[ROWS * COLUMNS];
    draw(x, 1);
    for (int i = 0; i < ROWS; i++)
        for (int c = 1; c < COLUMNS; c++)
            x[i * COLUMNS + c] = x[i * COLUMNS] + 1e-3f * x[i * COLUMNS + c];
    mu_compress_basis(x, ROWS, COLUMNS);
    assert_orthonormal(x, COLUMNS);
}

static void a_column_that_adds_nothing_becomes_zero(void **state)
{
    (void)state;
    float x[ROWS * COLUMNS];
    draw(x, 1);
    for (int i = 0; i < ROWS; i++) {
        x[i * COLUMNS + 2] = 3 * x[i * COLUMNS] - x[i * COLUMNS + 1];
        x[i * COLUMNS + 3] = 0;
    }
    assert_true(mu_compress_basis_column(x, ROWS, COLUMNS, 0));
    assert_true(mu_compress_basis_column(x, ROWS, COLUMNS, 1));
    assert_false(mu_compress_basis_column(x, ROWS, COLUMNS, 2));
    assert_false(mu_compress_basis_column(x, ROWS, COLUMNS, 3));
    assert_orthonormal(x, 2);
    assert_true(dot(x, 2, 2) == 0 && dot(x, 3, 3) == 0);
}

static void a_column_that_is_not_finite_becomes_one_of_nan(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (int b = 0; b < 4; b++) {
        float x[ROWS * COLUMNS];
        int column = b / 2;
        draw(x, 1);
        x[7 * COLUMNS + column] = bad[b % 2];
        mu_compress_basis(x, ROWS, COLUMNS);
        for (int i = 0; i < ROWS; i++)
            for (int c = 0; c < COLUMNS; c++)
                assert_true(c < column ? isfinite(x[i * COLUMNS + c]) : isnan(x[i * COLUMNS + c]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_become_orthonormal_at_any_scale),
        cmocka_unit_test(columns_that_almost_coincide_end_orthogonal),
        cmocka_unit_test(a_column_that_adds_nothing_becomes_zero),
        cmocka_unit_test(a_column_that_is_not_finite_becomes_one_of_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
