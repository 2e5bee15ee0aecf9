/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_OPTIM_SCHEDULES_H
#define MU_OPTIM_SCHEDULES_H

#include "muster/option.h"
#include <stdint.h>

/* Learning rate over steps: pure functions of (options, step, total). Every kind takes
 * "warmup_steps": a linear rise from rate/warmup_steps (Goyal et al. 2017). */
struct mu_schedule_ops {
    const char *name; /* "constant", "step", "cosine" */
    const char *doc;
    const struct mu_option *options;
    size_t option_bytes;
    /* The factor on the base learning rate at `step` (0 for the first) of `steps_total`. */
    double (*factor)(const void *options, int64_t step, int64_t steps_total);
};
extern const struct mu_schedule_ops *const mu_schedules[];

#endif
