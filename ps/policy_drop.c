/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policy_kinds.h"

/*
 * Staleness bounded by dropping. A gradient is late by as many updates as were applied since its
 * worker read the parameters; n workers of one speed are late by n - 1 in the mean, so the bound
 * says what is ordinary in a cluster and what is a straggler's (Ho et al. 2013; Chen et al. 2016
 * drop what comes after the fastest n).
 */
static struct mu_judgement judge(const void *options, const struct mu_push_facts *push)
{
    if (push->staleness > push->bound)
        return (struct mu_judgement){MU_VERDICT_DROP, 0};
    return (struct mu_judgement){MU_VERDICT_APPLY, 1};
}

static const struct mu_option rows[] = {{.name = NULL}};

const struct mu_policy_ops mu_policy_drop = {
    .name = "drop",
    .doc = "drops gradients that are later than mode.bound",
    .options = rows,
    .option_bytes = 0,
    .judge = judge,
};
