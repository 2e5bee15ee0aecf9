/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/tensors.h"

#include "runtime/device/kernels.h"
#include <math.h>

bool mu_tensors_have_ratio(const struct mu_optim_step *step)
{
    return step->rank > 1;
}

double mu_tensors_norm(const float *x, size_t count)
{
    return sqrt(mu_kernels()->square_sum(x, count));
}

/* The part of a step over [first, first + step->count) that is in `view`. */
static struct mu_optim_step part_of(
    const struct mu_optim_step *step, size_t first, const struct mu_view *view)
{
    size_t end = first + step->count, view_end = view->span.first + view->span.count;
    size_t part_first = first > view->span.first ? first : view->span.first;
    size_t part_end = end < view_end ? end : view_end;
    struct mu_optim_step part = *step;
    part.rank = view->rank;
    part.count = part_first < part_end ? part_end - part_first : 0;
    if (part.count == 0)
        return part;
    size_t skipped = part_first - first;
    part.parameters += skipped;
    part.gradients += skipped;
    for (int i = 0; i < MU_SLOTS_MAX; i++)
        if (part.slots[i])
            part.slots[i] += skipped;
    return part;
}

void mu_tensors_step(const struct mu_optimizer_ops *optimizer, const void *options,
    const struct mu_layout *layout, size_t first, const struct mu_optim_step *step)
{
    if (!optimizer->by_tensor || !layout) {
        optimizer->step(options, step);
        return;
    }
    for (int i = 0; i < layout->view_count; i++) {
        struct mu_optim_step part = part_of(step, first, &layout->view[i]);
        if (part.count > 0)
            optimizer->step(options, &part);
    }
}
