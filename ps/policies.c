/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policies.h"
#include "ps/policy_kinds.h"
#include "runtime/base/status.h"

const struct mu_policy_ops *const mu_policies[] = {
    &mu_policy_apply, &mu_policy_drop, &mu_policy_scale, &mu_policy_compensate, NULL};

#define MU_VERDICT_TEXT(name, text) text,
static const char *const verdict_names[] = {MU_VERDICT_ROWS(MU_VERDICT_TEXT)};
#undef MU_VERDICT_TEXT

const char *mu_verdict_name(enum mu_verdict verdict)
{
    assert(verdict < MU_VERDICT_COUNT);
    return verdict_names[verdict];
}
