/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_MODELS_MODELS_H
#define MU_MODELS_MODELS_H

#include "muster/model.h"

/* The registry: "softmax" (softmax regression) and "mlp" for dense data; "linear", "factorization"
 * and "wide_deep" for sparse data. NULL-terminated. */
extern const struct mu_model_ops *const mu_models[];
const struct mu_model_ops *mu_model_find(const char *name); /* NULL */

#endif
