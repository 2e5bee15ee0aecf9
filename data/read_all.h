/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_READ_ALL_H
#define MU_DATA_READ_ALL_H

#include "muster/dataset.h"

/* Reads every sample of a sparse data set once and keeps none: text that is read as it is used may
 * turn out wrong far behind its beginning. What read_sparse returns, MU_E0801. */
enum mu_status mu_read_all(const struct mu_dataset_ops *ops, void *dataset,
    const struct mu_dataset_facts *facts, struct mu_log *log);

#endif
