/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/optim/optimizers.h"

/* A norm that is not a number compares false: such a gradient is the caller's to refuse. */
float mu_optim_clip_scale(double clip_norm, double gradient_norm)
{
    if (clip_norm <= 0 || !(gradient_norm > clip_norm))
        return 1;
    return (float)(clip_norm / gradient_norm);
}
