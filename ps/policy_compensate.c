/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/policy_kinds.h"
#include "runtime/optim/usable.h"
#include <math.h>

/*
 * DC-ASGD (Zheng et al. 2017). A gradient g that was computed with the parameters w_seen is carried
 * over to those of now, w, by the first term of its Taylor series, with g*g for the diagonal of the
 * second derivative:
 *
 *   g + lambda * g*g * (w - w_seen)
 *
 * Constant: lambda as it is. Adaptive: lambda = lambda0 / sqrt(ms + epsilon), where ms is a moving
 * mean of g*g over the gradients of all workers.
 */
struct compensate_options {
    bool adaptive;
    double lambda, lambda0, decay, epsilon;
};

static struct mu_judgement judge(const void *options, const struct mu_push_facts *push)
{
    const struct compensate_options *compensate = options;
    if (!push->has_seen || (push->staleness == 0 && !compensate->adaptive))
        return (struct mu_judgement){MU_VERDICT_APPLY, 1};
    return (struct mu_judgement){MU_VERDICT_CORRECT, 1};
}

/* The gradient was looked at; its square times a distance may still be more than can be used. */
static inline float usable(float corrected, float gradient)
{
    return fabsf(corrected) < MU_USABLE_LIMIT ? corrected : gradient;
}

static void correct_constant(float lambda, const struct mu_correct_block *block)
{
    for (size_t i = 0; i < block->count; i++) {
        float g = block->scale * block->gradients[i];
        float corrected = g + lambda * g * g * (block->parameters[i] - block->seen[i]);
        block->gradients[i] = usable(corrected, g);
    }
}

static void correct_adaptive(
    const struct compensate_options *options, const struct mu_correct_block *block)
{
    float lambda0 = (float)options->lambda0, decay = (float)options->decay;
    float rest = 1 - decay, epsilon = (float)options->epsilon;
    for (size_t i = 0; i < block->count; i++) {
        float g = block->scale * block->gradients[i];
        float mean_square = decay * block->mean_square[i] + rest * g * g;
        float lambda = lambda0 / sqrtf(mean_square + epsilon);
        block->mean_square[i] = mean_square;
        float corrected = g + lambda * g * g * (block->parameters[i] - block->seen[i]);
        block->gradients[i] = usable(corrected, g);
    }
}

static void correct(const void *options, const struct mu_correct_block *block)
{
    const struct compensate_options *compensate = options;
    if (compensate->adaptive)
        correct_adaptive(compensate, block);
    else
        correct_constant((float)compensate->lambda, block);
}

static bool adapts(const void *options)
{
    return ((const struct compensate_options *)options)->adaptive;
}

static const struct mu_option rows[] = {
    {.name = "adaptive",
        .type = MU_OPTION_BOOL,
        .offset = offsetof(struct compensate_options, adaptive),
        .fallback = "true",
        .doc = "lambda follows the mean square of the gradients"},
    {.name = "lambda",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct compensate_options, lambda),
        .min = 0,
        .max = 1e6,
        .fallback = "0.04",
        .doc = "not adaptive: how much is corrected"},
    {.name = "lambda0",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct compensate_options, lambda0),
        .min = 0,
        .max = 1e6,
        .fallback = "2",
        .doc = "adaptive: divided by the root of the mean square"},
    {.name = "decay",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct compensate_options, decay),
        .min = 0,
        .max = 1,
        .fallback = "0.95",
        .doc = "adaptive: of the mean square"},
    {.name = "epsilon",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct compensate_options, epsilon),
        .min = 1e-30,
        .max = 1,
        .fallback = "1e-7",
        .doc = "adaptive: added to the mean square"},
    {.name = NULL},
};

const struct mu_policy_ops mu_policy_compensate = {
    .name = "compensate",
    .doc = "corrects a gradient for the distance moved since (DC-ASGD, Zheng et al. 2017)",
    .options = rows,
    .option_bytes = sizeof(struct compensate_options),
    .judge = judge,
    .correct = correct,
    .adapts = adapts,
};
