/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/processors.h"
#include "runtime/io/uv_loop.h"
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mu_timer {
    uv_timer_t uv;
    struct mu_uv_loop *loop;
    void (*fired)(void *owner);
    void *owner;
};

/*
 * Not by uv_async_t: a loop that is woken on the processor of its waker, before that has returned
 * from the call, turns in circles until it has. Each side is one step here:
 *
 *   waker    woken? else: woken, write          loop    read, not woken, look what there is
 */
static void on_wakeup(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct mu_uv_loop *loop = poll->data;
    uint64_t count;
    (void)!read(loop->wake_fd, &count, sizeof(count));
    atomic_exchange(&loop->woken, false);
    loop->happened++;
    mu_uv_tell_resolved(loop);
}

/* It may fire before libuv polls, which would then wait for something else: stopped, it only looks.
 */
static void on_deadline(uv_timer_t *timer)
{
    ((struct mu_uv_loop *)timer->data)->deadline_ns = MU_FOREVER;
    uv_stop(timer->loop);
}

/* libuv's timers count milliseconds: rounded up, so that a turn never ends before its deadline. */
static uint64_t milliseconds(int64_t ns)
{
    return ns <= 0 ? 0 : (uint64_t)((ns + MU_MS - 1) / MU_MS);
}

/* Leaves the timer alone when the same deadline is waited for again and again. */
static void arm(struct mu_uv_loop *loop, int64_t deadline_ns)
{
    if (loop->deadline_ns == deadline_ns)
        return;
    loop->deadline_ns = deadline_ns;
    if (deadline_ns == MU_FOREVER) {
        uv_timer_stop(&loop->deadline);
        return;
    }
    uv_update_time(&loop->uv);
    uv_timer_start(
        &loop->deadline, on_deadline, milliseconds(deadline_ns - mu_now(loop->base.world)), 0);
}

static enum mu_status turn(struct mu_loop *base, int64_t deadline_ns)
{
    struct mu_uv_loop *loop = (struct mu_uv_loop *)base;
    uint64_t before = loop->happened;
    loop->turns++;
    mu_uv_tell_fresh(loop);
    if (mu_uv_flush_all(loop))
        loop->happened++;
    if (loop->happened != before ||
        (deadline_ns != MU_FOREVER && mu_now(base->world) >= deadline_ns)) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    } else {
        arm(loop, deadline_ns);
        uv_run(&loop->uv, UV_RUN_ONCE);
    }
    return loop->happened != before ? MU_OK : MU_TIMEOUT;
}

void mu_uv_wake(struct mu_uv_loop *loop)
{
    static const uint64_t one = 1;
    if (!atomic_exchange(&loop->woken, true))
        (void)!write(loop->wake_fd, &one, sizeof(one));
}

static void wake(struct mu_loop *base)
{
    mu_uv_wake((struct mu_uv_loop *)base);
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *uv)
{
    struct mu_timer *timer = uv->data;
    timer->loop->happened++;
    uv_stop(uv->loop); /* something happened: see on_deadline */
    timer->fired(timer->owner);
}

static enum mu_status timer_start(struct mu_loop *base, int64_t period_ns,
    void (*fired)(void *owner), void *owner, struct mu_timer **ret_timer)
{
    struct mu_uv_loop *loop = (struct mu_uv_loop *)base;
    struct mu_timer *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return MU_NO_MEMORY;
    *timer = (struct mu_timer){.loop = loop, .fired = fired, .owner = owner};
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    uv_update_time(&loop->uv);
    uint64_t period = milliseconds(period_ns);
    uv_timer_start(&timer->uv, on_timer, period, period);
    *ret_timer = timer;
    return MU_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_stop(struct mu_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, on_timer_closed);
}

/* ---- life ---- */

static void destroy(struct mu_loop *base)
{
    struct mu_uv_loop *loop = (struct mu_uv_loop *)base;
    uv_close((uv_handle_t *)&loop->wakeup, NULL);
    uv_close((uv_handle_t *)&loop->deadline, NULL);
    while (uv_run(&loop->uv, UV_RUN_NOWAIT) != 0)
        ;
    int open = uv_loop_close(&loop->uv);
    assert(open == 0);
    (void)open;
    close(loop->wake_fd);
    mu_uv_writes_free(loop);
    free(loop);
}

static const struct mu_net_ops uv_net_ops = {
    .destroy = destroy,
    .turn = turn,
    .wake = wake,
    .listen = mu_uv_listen,
    .listener_close = mu_uv_listener_close,
    .connect = mu_uv_connect,
    .own = mu_uv_own,
    .write = mu_uv_write,
    .resume = mu_uv_resume,
    .delivered = mu_uv_delivered,
    .hold_at_most = mu_uv_hold_at_most,
    .peer_name = mu_uv_peer_name,
    .close = mu_uv_close,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
};

static bool make_wakeup(struct mu_uv_loop *loop)
{
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return false;
    if (uv_poll_init(&loop->uv, &loop->wakeup, loop->wake_fd) != 0) {
        close(loop->wake_fd);
        return false;
    }
    loop->wakeup.data = loop;
    uv_poll_start(&loop->wakeup, UV_READABLE, on_wakeup);
    return true;
}

enum mu_status mu_uv_loop_create(struct mu_world *world, struct mu_loop **ret_loop)
{
    struct mu_uv_loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return MU_NO_MEMORY;
    loop->base =
        (struct mu_loop){.ops = &uv_net_ops, .world = world, .processors = mu_processors_count()};
    loop->deadline_ns = MU_FOREVER;
    if (!mu_uv_writes_reserve(loop) || uv_loop_init(&loop->uv) != 0) {
        mu_uv_writes_free(loop);
        free(loop);
        return MU_NO_MEMORY;
    }
    if (!make_wakeup(loop)) {
        uv_loop_close(&loop->uv);
        mu_uv_writes_free(loop);
        free(loop);
        return MU_UNAVAILABLE;
    }
    uv_timer_init(&loop->uv, &loop->deadline);
    loop->deadline.data = loop;
    *ret_loop = &loop->base;
    return MU_OK;
}
