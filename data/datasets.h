/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_DATASETS_H
#define MU_DATA_DATASETS_H

#include "muster/dataset.h"

/* The registry: "idx", "glyphs" (drawn by the program). NULL-terminated. */
extern const struct mu_dataset_ops *const mu_datasets[];
const struct mu_dataset_ops *mu_dataset_find(const char *name); /* NULL */

extern const struct mu_dataset_ops mu_dataset_idx, mu_dataset_glyphs;

#endif
