/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_COMPRESS_BASIS_H
#define MU_COLLECTIVES_COMPRESS_BASIS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Gram and Schmidt's method for a few long columns: x (rows, columns), row-major. Makes column
 * `column` a unit vector, orthogonal to those before it, which are so already. False, and the
 * column is zero, if it is a combination of them but for rounding. A column that is not finite
 * becomes one of NaN. Sums are taken in double and in one order: the same bits on all machines.
 */
bool mu_compress_basis_column(float *x, size_t rows, size_t columns, size_t column);
/* All columns, the first to the last. */
void mu_compress_basis(float *x, size_t rows, size_t columns);

#endif
