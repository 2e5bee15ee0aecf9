/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policy_kinds.h"
#include <math.h>

/*
 * Staleness-aware SGD (Zhang, Gupta, Lian, Liu 2016): the learning rate of a gradient that is tau
 * updates late is divided by tau, for tau >= 1; here by a power of it. It is the rate that shrinks
 * and not the gradient, which optimizers that normalise would make as large again.
 */
struct scale_options {
    double power;
};

static struct mu_judgement judge(const void *options, const struct mu_push_facts *push)
{
    const struct scale_options *scale = options;
    if (push->staleness <= 1 || scale->power == 0)
        return (struct mu_judgement){MU_VERDICT_APPLY, 1};
    return (struct mu_judgement){
        MU_VERDICT_SCALE, (float)pow((double)push->staleness, -scale->power)};
}

static const struct mu_option rows[] = {
    {.name = "power",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct scale_options, power),
        .min = 0,
        .max = 10,
        .fallback = "1",
        .doc = "of the staleness that divides the learning rate"},
    {.name = NULL},
};

const struct mu_policy_ops mu_policy_scale = {
    .name = "scale",
    .doc = "divides the learning rate of a gradient by its staleness (Zhang et al. 2016)",
    .options = rows,
    .option_bytes = sizeof(struct scale_options),
    .judge = judge,
};
