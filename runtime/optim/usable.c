/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/usable.h"
#include "runtime/device/kernels.h"
#include <assert.h>
#include <math.h>

float mu_usable_limit(float scale)
{
    assert(isfinite(scale));
    return scale == 0 ? INFINITY : MU_USABLE_LIMIT / fabsf(scale);
}

bool mu_usable_are(const float *elements, size_t count, float limit)
{
    assert(limit > 0);
    return mu_kernels()->are_below(elements, count, limit);
}
