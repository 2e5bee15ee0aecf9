/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_ROW_INIT_H
#define MU_MODELS_ROW_INIT_H

#include <stddef.h>
#include <stdint.h>

/* A new row of an embedding table: a linear weight of zero, then `width` - 1 nearly normal numbers
 * of this standard deviation. A pure function of its arguments, the same bits on every machine. */
void mu_row_init(uint64_t seed, uint64_t id, double deviation, size_t width, float *ret_row);

#endif
