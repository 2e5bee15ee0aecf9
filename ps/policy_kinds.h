/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_POLICY_KINDS_H
#define MU_PS_POLICY_KINDS_H

#include "muster/policy.h"

/* What policies.c lists. */
extern const struct mu_policy_ops mu_policy_apply;
extern const struct mu_policy_ops mu_policy_drop;
extern const struct mu_policy_ops mu_policy_scale;
extern const struct mu_policy_ops mu_policy_compensate;

#endif
