/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_EXPLANATIONS_H
#define MU_CLI_EXPLANATIONS_H

#include "runtime/base/errors.h"

/* What `muster explain` says of an error beside its row in errors.h. Every error has one. */
struct mu_explanation {
    const char *meaning;
    const char *causes; /* the likely ones, the likeliest first */
};

const struct mu_explanation *mu_explanation_of(enum mu_error error);

#endif
