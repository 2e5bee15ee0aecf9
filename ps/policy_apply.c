/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policy_kinds.h"

/* Every gradient counts, whatever has happened since it was computed (Dean et al. 2012; Recht et
 * al. 2011). */
static struct mu_judgement judge(const void *options, const struct mu_push_facts *push)
{
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static const struct mu_option rows[] = {{.name = NULL}};

const struct mu_policy_ops mu_policy_apply = {
    .name = "apply",
    .doc = "applies every gradient, however stale (Dean et al. 2012)",
    .options = rows,
    .option_bytes = 0,
    .judge = judge,
};
