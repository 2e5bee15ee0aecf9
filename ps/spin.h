/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SPIN_H
#define MU_PS_SPIN_H

#include "runtime/base/net.h"

/* So long servers and workers look for what comes before they sleep: to sleep and be woken takes
 * longer than a small push. */
static inline int64_t mu_ps_spin_ns(const struct mu_loop *loop)
{
    return loop->processors > 1 ? MU_MS / 20 : 0;
}

#endif
