/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/look.h"
#include "runtime/optim/usable.h"
#include <math.h>

enum mu_ps_flaw mu_look_at(const float *elements, size_t count, float scale)
{
    if (mu_usable_are(elements, count, mu_usable_limit(scale)))
        return MU_PS_FLAW_NONE;
    return mu_usable_are(elements, count, INFINITY) ? MU_PS_FLAW_LARGE : MU_PS_FLAW_NOT_FINITE;
}
