/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_POLICIES_H
#define MU_PS_POLICIES_H

#include "muster/policy.h"

/* The registry: "apply" (every gradient at arrival), "drop", "scale", "compensate".
 * NULL-terminated. Adding a kind is one file and one line. */
extern const struct mu_policy_ops *const mu_policies[];
const char *mu_verdict_name(enum mu_verdict verdict); /* "apply" */

#endif
