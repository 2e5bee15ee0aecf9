/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_DATASETS_H
#define MU_DATA_DATASETS_H

#include "muster/dataset.h"
#include <stdbool.h>

/* The registry: "idx", "glyphs" (drawn by the program); sparse: "libsvm", "csv" (text), "clicks"
 * (drawn by the program). NULL-terminated. */
extern const struct mu_dataset_ops *const mu_datasets[];
const struct mu_dataset_ops *mu_dataset_find(const char *name); /* NULL */

/* How the samples of an epoch are drawn, for mu_plan_set_block: each by itself, or in blocks of
 * what is read together; not at all if `shuffle` is false. */
size_t mu_dataset_block(const struct mu_dataset_ops *ops, bool shuffle);

extern const struct mu_dataset_ops mu_dataset_idx, mu_dataset_glyphs, mu_dataset_libsvm,
    mu_dataset_clicks, mu_dataset_csv;

#endif
