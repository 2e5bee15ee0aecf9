/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_MODEL_KINDS_H
#define MU_MODELS_MODEL_KINDS_H

#include "muster/model.h"

/* The drivers behind the registry; others use mu_model_find. */
extern const struct mu_model_ops mu_softmax, mu_mlp, mu_linear, mu_factorization, mu_wide_deep;

#endif
