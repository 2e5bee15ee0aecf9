/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TENSOR_LAYOUT_H
#define MU_TENSOR_LAYOUT_H

#include "muster/tensor.h"
#include "runtime/base/status.h"
#include <stdbool.h>

void mu_layout_init(struct mu_layout *layout);
/* Appends a view at the next multiple of MU_VIEW_ALIGN. Too many views, a rank over MU_RANK_MAX or
 * a shape whose product overflows: false. */
bool mu_layout_add(struct mu_layout *layout, const char *name, int rank, const int64_t shape[]);
/* CRC-32C over names and shapes: two tasks with different layouts must not train together. */
uint32_t mu_layout_crc32c(const struct mu_layout *layout);
/* CRC-32C over the elements of all views, gaps left out. */
uint32_t mu_layout_crc32c_of(const struct mu_layout *layout, const float *vector);

#endif
