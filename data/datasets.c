/* SPDX-License-Identifier: Apache-2.0 */
#include "data/datasets.h"

#include <string.h>

const struct mu_dataset_ops *const mu_datasets[] = {&mu_dataset_idx, &mu_dataset_glyphs, NULL};

const struct mu_dataset_ops *mu_dataset_find(const char *name)
{
    for (size_t i = 0; mu_datasets[i]; i++)
        if (strcmp(mu_datasets[i]->name, name) == 0)
            return mu_datasets[i];
    return NULL;
}
