/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/compress/compress_basis.h"
#include <math.h>

/* What is left of a column, as a part of what it was, when it is rounding and no direction. */
#define NOTHING_LEFT 1e-5

static double dot(const float *x, size_t rows, size_t columns, size_t a, size_t b)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += (double)x[i * columns + a] * (double)x[i * columns + b];
    return sum;
}

static void subtract(float *x, size_t rows, size_t columns, size_t from, double by, size_t other)
{
    for (size_t i = 0; i < rows; i++)
        x[i * columns + from] =
            (float)((double)x[i * columns + from] - by * (double)x[i * columns + other]);
}

static void divide(float *x, size_t rows, size_t columns, size_t column, double by)
{
    for (size_t i = 0; i < rows; i++)
        x[i * columns + column] = (float)((double)x[i * columns + column] / by);
}

static void clear(float *x, size_t rows, size_t columns, size_t column)
{
    for (size_t i = 0; i < rows; i++)
        x[i * columns + column] = 0;
}

bool mu_compress_basis_column(float *x, size_t rows, size_t columns, size_t column)
{
    double before = sqrt(dot(x, rows, columns, column, column));
    /* Twice is enough: the second pass takes what rounding left of the first (Giraud 2005). */
    for (int pass = 0; pass < 2; pass++)
        for (size_t other = 0; other < column; other++)
            subtract(x, rows, columns, column, dot(x, rows, columns, column, other), other);
    double after = sqrt(dot(x, rows, columns, column, column));
    if (isfinite(before) && after <= NOTHING_LEFT * before) {
        clear(x, rows, columns, column);
        return false;
    }
    divide(x, rows, columns, column, isfinite(after) ? after : (double)NAN);
    return true;
}

void mu_compress_basis(float *x, size_t rows, size_t columns)
{
    for (size_t column = 0; column < columns; column++)
        (void)mu_compress_basis_column(x, rows, columns, column);
}
