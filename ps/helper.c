/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/helper.h"
#include "runtime/io/futex.h"
#include <stdatomic.h>
#include <stdlib.h>

/*
 *   who runs the loop                     helper
 *   count, piece, owner                   inside + 1
 *   open                                  open? then takes pieces while there are any
 *   takes pieces while there are any      inside - 1; not this loop again
 *   not open; waits for inside == 0       sleeps, if nothing has been open for a while
 *
 * What a loop is about is written while nothing is open, and read only by who has said that it is
 * inside before it saw that something is.
 */
#define LOOK_NS (30 * MU_MS / 1000) /* before it sleeps: the next gradient may be there already */
#define LOOKS_PER_CLOCK 64
#define SPINS_BEFORE_YIELD 1000

/* A helper that lost its processor in the middle of a piece holds everybody up: others want the
 * processors. Then loops run without it, for a time that doubles each time it happens again. */
#define HELD_UP_NS (MU_MS / 5)
#define REST_NS_MIN (100 * MU_MS)
#define REST_NS_MAX (10 * MU_SECOND)

struct mu_helper {
    struct mu_world *world;
    struct mu_monitor *monitor;
    struct mu_thread *thread;
    size_t count;
    void (*piece)(void *owner, size_t index);
    void *owner;
    int64_t rests_until_ns, rest_ns;
    _Alignas(64) atomic_size_t next;
    _Alignas(64) atomic_uint open; /* number of the loop; 0: none */
    atomic_int inside;
    atomic_bool asleep, ends;
    unsigned loops; /* so far */
    unsigned done;  /* the helper's: no piece of this loop was left */
};

static void take_pieces(struct mu_helper *helper)
{
    for (;;) {
        size_t index = atomic_fetch_add_explicit(&helper->next, 1, memory_order_relaxed);
        if (index >= helper->count)
            return;
        helper->piece(helper->owner, index);
    }
}

/* ---- the helper ---- */

static bool is_wanted(struct mu_helper *helper)
{
    unsigned open = atomic_load(&helper->open);
    return (open != 0 && open != helper->done) || atomic_load(&helper->ends);
}

static void look_for_a_while(struct mu_helper *helper)
{
    int64_t until_ns = mu_now(helper->world) + LOOK_NS;
    do
        for (int i = 0; i < LOOKS_PER_CLOCK && !is_wanted(helper); i++)
            mu_futex_relax();
    while (!is_wanted(helper) && mu_now(helper->world) < until_ns);
}

static void sleep_until_wanted(struct mu_helper *helper)
{
    const struct mu_world_ops *ops = helper->world->ops;
    ops->enter(helper->world, helper->monitor);
    atomic_store(&helper->asleep, true);
    while (!is_wanted(helper))
        (void)!ops->wait(helper->world, helper->monitor, MU_FOREVER);
    atomic_store(&helper->asleep, false);
    ops->leave(helper->world, helper->monitor);
}

static void help(void *argument)
{
    struct mu_helper *helper = argument;
    while (!atomic_load(&helper->ends)) {
        look_for_a_while(helper);
        if (!is_wanted(helper))
            sleep_until_wanted(helper);
        atomic_fetch_add(&helper->inside, 1);
        unsigned open = atomic_load(&helper->open);
        if (open != 0) {
            take_pieces(helper);
            helper->done = open;
        }
        atomic_fetch_sub(&helper->inside, 1);
    }
}

/* ---- who runs the loop ---- */

static void wake(struct mu_helper *helper)
{
    const struct mu_world_ops *ops = helper->world->ops;
    if (!atomic_load(&helper->asleep))
        return;
    ops->enter(helper->world, helper->monitor);
    ops->notify(helper->world, helper->monitor);
    ops->leave(helper->world, helper->monitor);
}

static void wait_for_last_piece(struct mu_helper *helper)
{
    if (atomic_load(&helper->inside) == 0)
        return;
    int64_t began_ns = mu_now(helper->world);
    for (int spins = 0; atomic_load(&helper->inside) > 0; spins++)
        if (spins < SPINS_BEFORE_YIELD)
            mu_futex_relax();
        else
            mu_futex_yield();
    int64_t now_ns = mu_now(helper->world);
    if (now_ns - began_ns < HELD_UP_NS)
        return;
    bool again = now_ns - helper->rests_until_ns < helper->rest_ns;
    helper->rest_ns = again && helper->rest_ns < REST_NS_MAX / 2 ? 2 * helper->rest_ns
                      : again                                    ? REST_NS_MAX
                                                                 : REST_NS_MIN;
    helper->rests_until_ns = now_ns + helper->rest_ns;
}

void mu_helper_run(
    struct mu_helper *helper, size_t count, void (*piece)(void *owner, size_t index), void *owner)
{
    if (!helper || count < 2 || mu_now(helper->world) < helper->rests_until_ns) {
        for (size_t i = 0; i < count; i++)
            piece(owner, i);
        return;
    }
    helper->count = count;
    helper->piece = piece;
    helper->owner = owner;
    atomic_store_explicit(&helper->next, 0, memory_order_relaxed);
    helper->loops += helper->loops + 1 == 0 ? 2 : 1;
    atomic_store(&helper->open, helper->loops);
    wake(helper);
    take_pieces(helper);
    atomic_store(&helper->open, 0);
    wait_for_last_piece(helper);
}

/* ---- life ---- */

enum mu_status mu_helper_create(struct mu_world *world, struct mu_helper **ret_helper)
{
    struct mu_helper *helper = aligned_alloc(64, (sizeof(*helper) + 63) / 64 * 64);
    if (!helper)
        return MU_NO_MEMORY;
    *helper = (struct mu_helper){.world = world, .rest_ns = REST_NS_MIN};
    enum mu_status status = world->ops->monitor_create(world, &helper->monitor);
    if (status == MU_OK)
        status = world->ops->spawn(world, "ps helper", help, helper, &helper->thread);
    if (status != MU_OK) {
        world->ops->monitor_destroy(world, helper->monitor);
        free(helper);
        return status;
    }
    *ret_helper = helper;
    return MU_OK;
}

void mu_helper_destroy(struct mu_helper *helper)
{
    if (!helper)
        return;
    atomic_store(&helper->ends, true);
    wake(helper);
    helper->world->ops->join(helper->world, helper->thread);
    helper->world->ops->monitor_destroy(helper->world, helper->monitor);
    free(helper);
}
