/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include "data/plan.h"
#include "data/text_lines.h"
#include <string.h>

static_assert(MU_TEXT_BLOCK_LINES <= MU_PLAN_BLOCK_MAX);

const struct mu_dataset_ops *const mu_datasets[] = {&mu_dataset_idx, &mu_dataset_glyphs,
    &mu_dataset_libsvm, &mu_dataset_clicks, &mu_dataset_csv, NULL};

const struct mu_dataset_ops *mu_dataset_find(const char *name)
{
    for (size_t i = 0; mu_datasets[i]; i++)
        if (strcmp(mu_datasets[i]->name, name) == 0)
            return mu_datasets[i];
    return NULL;
}

size_t mu_dataset_block(const struct mu_dataset_ops *ops, bool shuffle)
{
    if (!shuffle)
        return 0;
    return ops->read_sparse ? MU_TEXT_BLOCK_LINES : 1;
}
