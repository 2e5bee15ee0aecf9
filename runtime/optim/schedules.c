/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/schedules.h"

#include "runtime/optim/optim_kinds.h"
#include "runtime/optim/power.h"

const struct mu_schedule_ops *const mu_schedules[] = {
    &mu_schedule_constant, &mu_schedule_step, &mu_schedule_cosine, NULL};

/* Every kind begins with the warm-up, whose field comes first in its options. */
struct warmup {
    int64_t warmup_steps;
};
#define WARMUP_ROW                                                                                 \
    {                                                                                              \
        .name = "warmup_steps", .type = MU_OPTION_INTEGER,                                         \
        .offset = offsetof(struct warmup, warmup_steps), .min = 0, .max = 1e12, .fallback = "0",   \
        .doc = "steps of a linear rise to the full rate (Goyal et al. 2017)"                       \
    }

static double warmup_factor(const struct warmup *warmup, int64_t step)
{
    if (step >= warmup->warmup_steps)
        return 1;
    return (double)(step + 1) / (double)warmup->warmup_steps;
}

static double factor_constant(const void *options, int64_t step, int64_t steps_total)
{
    (void)steps_total;
    return warmup_factor(options, step);
}

static const struct mu_option constant_rows[] = {WARMUP_ROW, {.name = NULL}};

const struct mu_schedule_ops mu_schedule_constant = {
    .name = "constant",
    .doc = "the full rate after the warm-up",
    .options = constant_rows,
    .option_bytes = sizeof(struct warmup),
    .factor = factor_constant,
};

struct step_options {
    struct warmup warmup;
    int64_t every_steps;
    struct mu_integers at_percent;
    double factor;
};

static double factor_step(const void *options, int64_t step, int64_t steps_total)
{
    const struct step_options *o = options;
    int64_t drops = o->every_steps > 0 ? step / o->every_steps : 0;
    for (int i = 0; i < o->at_percent.count; i++)
        drops += (double)step * 100 >= (double)o->at_percent.value[i] * (double)steps_total;
    return warmup_factor(&o->warmup, step) * mu_power(o->factor, drops);
}

static const struct mu_option step_rows[] = {
    WARMUP_ROW,
    {.name = "every_steps",
        .type = MU_OPTION_INTEGER,
        .offset = offsetof(struct step_options, every_steps),
        .min = 0,
        .max = 1e12,
        .fallback = "0",
        .doc = "steps between two drops; 0: none"},
    {.name = "at_percent",
        .type = MU_OPTION_INTEGERS,
        .offset = offsetof(struct step_options, at_percent),
        .min = 1,
        .max = 99,
        .fallback = "[]",
        .doc = "drops at these parts of the run, in percent of its steps"},
    {.name = "factor",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct step_options, factor),
        .min = 0,
        .max = 1,
        .fallback = "0.1",
        .doc = "what a drop multiplies the rate by"},
    {.name = NULL},
};

const struct mu_schedule_ops mu_schedule_step = {
    .name = "step",
    .doc = "drops by a factor every so many steps or at parts of the run",
    .options = step_rows,
    .option_bytes = sizeof(struct step_options),
    .factor = factor_step,
};

struct cosine_options {
    struct warmup warmup;
    double final_factor;
};

/* cos(pi * part) for part in 0..1 by the series of the sine about the middle, where it converges
 * fastest; arithmetic only, so that it is the same on every machine. */
static double cosine_of_part(double part)
{
    double x = 3.14159265358979323846 * (0.5 - part), term = x, sum = x;
    for (int n = 2; n <= 24; n += 2) {
        term *= -x * x / (n * (n + 1));
        sum += term;
    }
    return sum;
}

static double factor_cosine(const void *options, int64_t step, int64_t steps_total)
{
    const struct cosine_options *o = options;
    int64_t warmup_steps = o->warmup.warmup_steps;
    if (step < warmup_steps)
        return warmup_factor(&o->warmup, step);
    if (step >= steps_total)
        return o->final_factor;
    double part = (double)(step - warmup_steps) / (double)(steps_total - warmup_steps);
    return o->final_factor + (1 - o->final_factor) * 0.5 * (1 + cosine_of_part(part));
}

static const struct mu_option cosine_rows[] = {
    WARMUP_ROW,
    {.name = "final_factor",
        .type = MU_OPTION_REAL,
        .offset = offsetof(struct cosine_options, final_factor),
        .min = 0,
        .max = 1,
        .fallback = "0",
        .doc = "the factor at the end of the run"},
    {.name = NULL},
};

const struct mu_schedule_ops mu_schedule_cosine = {
    .name = "cosine",
    .doc = "half a cosine down to a final factor (Loshchilov and Hutter 2017)",
    .options = cosine_rows,
    .option_bytes = sizeof(struct cosine_options),
    .factor = factor_cosine,
};
