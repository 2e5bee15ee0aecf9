/* SPDX-License-Identifier: Apache-2.0 */
#include "models/models.h"

#include "models/model_kinds.h"
#include <string.h>

const struct mu_model_ops *const mu_models[] = {
    &mu_softmax, &mu_mlp, &mu_linear, &mu_factorization, &mu_wide_deep, NULL};

const struct mu_model_ops *mu_model_find(const char *name)
{
    for (size_t i = 0; mu_models[i]; i++)
        if (strcmp(mu_models[i]->name, name) == 0)
            return mu_models[i];
    return NULL;
}
