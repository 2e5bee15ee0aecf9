/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/net.h"
#include <assert.h>
#include <sched.h>

/* Whoever sleeps is woken into its turn; whoever yields to somebody who computes waits for all of
 * theirs. If that has happened, waits sleep at once for a while. */
#define YIELD_NS_MAX (MU_MS / 2)
#define CROWDED_NS (100 * MU_MS)

/* Looks without sleeping. A peer that has the same processor as we can only answer once it gets it,
 * so others are let run between two looks; where nobody else wants it, that costs nothing. */
static void look(struct mu_loop *loop, int64_t now_ns)
{
    if (loop->ops->turn(loop, now_ns) != MU_TIMEOUT)
        return;
    int64_t before_ns = mu_now(loop->world);
    sched_yield();
    int64_t after_ns = mu_now(loop->world);
    if (after_ns - before_ns > YIELD_NS_MAX)
        loop->crowded_until_ns = after_ns + CROWDED_NS;
}

void mu_loop_poll(struct mu_loop *loop)
{
    if (loop)
        (void)!loop->ops->turn(loop, mu_now(loop->world));
}

void mu_loop_wait(struct mu_loop *loop, int64_t began_ns, int64_t now_ns, int64_t deadline_ns)
{
    if (now_ns - began_ns < loop->spin_ns && now_ns >= loop->crowded_until_ns)
        look(loop, now_ns);
    else
        (void)!loop->ops->turn(loop, deadline_ns);
}

enum mu_status mu_loop_until(struct mu_loop *loop, const bool *flag, int64_t deadline_ns)
{
    assert(loop);
    assert(flag);
    assert(loop->spin_ns == 0 || loop->processors > 0);
    int64_t now_ns = mu_now(loop->world), began_ns = now_ns;
    /* The first turn comes before the first look at the clock: what has arrived by a deadline that
     * has passed still counts. A turn may end early, so its own TIMEOUT decides nothing. */
    for (bool late = false;; now_ns = mu_now(loop->world), late = now_ns >= deadline_ns) {
        if (loop->cancelled != MU_OK)
            return loop->cancelled;
        if (*flag)
            return MU_OK;
        if (late)
            return MU_TIMEOUT;
        mu_loop_wait(loop, began_ns, now_ns, deadline_ns);
    }
}
