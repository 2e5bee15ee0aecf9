/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/net.h"
#include <assert.h>

enum mu_status mu_loop_until(struct mu_loop *loop, const bool *flag, int64_t deadline_ns)
{
    assert(loop);
    assert(flag);
    /* The first turn comes before the first look at the clock: what has arrived by a deadline that
     * has passed still counts. A turn may end early, so its own TIMEOUT decides nothing. */
    for (bool late = false;; late = mu_now(loop->world) >= deadline_ns) {
        if (loop->cancelled != MU_OK)
            return loop->cancelled;
        if (*flag)
            return MU_OK;
        if (late)
            return MU_TIMEOUT;
        (void)!loop->ops->turn(loop, deadline_ns);
    }
}
