/* SPDX-License-Identifier: Apache-2.0 */
#include "worlds_cases.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- connecting and listening ---- */

const char *where_nobody_listens_connections_are_refused(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct end end = {0};
    CHECK(world->ops->loop_create(world, &end.loop) == MU_OK);
    CHECK(end.loop->ops->connect(end.loop, free_address, &mu_ends_events, &end, &end.stream) ==
          MU_OK);
    CHECK(!end.connected);
    CHECK(mu_ends_wait_flag(end.loop, &end.connected) == MU_OK);
    CHECK(end.status == MU_UNAVAILABLE);
    CHECK(end.error == ECONNREFUSED);
    end.loop->ops->destroy(end.loop);
    return NULL;
}

const char *a_name_that_nobody_has_is_no_input(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct end end = {0};
    struct mu_address address = {.host = "not a host name", .port = 2222};
    CHECK(world->ops->loop_create(world, &end.loop) == MU_OK);
    CHECK(end.loop->ops->connect(end.loop, &address, &mu_ends_events, &end, &end.stream) == MU_OK);
    CHECK(mu_ends_wait_flag(end.loop, &end.connected) == MU_OK);
    CHECK(end.status == MU_NO_INPUT);
    end.loop->ops->destroy(end.loop);
    return NULL;
}

const char *a_port_has_one_listener_at_a_time(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    struct mu_listener *second = NULL;
    int error = 0;
    const char *wrong = mu_ends_pair_listen(world, free_address, &pair);
    if (wrong)
        return wrong;
    const struct mu_net_ops *ops = pair.loop->ops;
    CHECK(ops->listen(pair.loop, free_address, -1, mu_ends_on_accepted, &pair, &second, &error) ==
          MU_UNAVAILABLE);
    CHECK(error == EADDRINUSE);
    CHECK(!second);
    ops->listener_close(pair.listener);
    pair.listener = NULL;
    mu_ends_turn_for(pair.loop, MU_MS);
    CHECK(ops->listen(pair.loop, free_address, -1, mu_ends_on_accepted, &pair, &second, &error) ==
          MU_OK);
    ops->listener_close(second);
    return mu_ends_pair_close(&pair);
}

const char *only_addresses_of_this_host_can_be_listened_at(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct mu_loop *loop;
    struct mu_listener *listener = NULL;
    struct mu_address address = {.host = "192.0.2.1", .port = free_address->port};
    int error = 0;
    CHECK(world->ops->loop_create(world, &loop) == MU_OK);
    CHECK(loop->ops->listen(loop, &address, -1, mu_ends_on_accepted, NULL, &listener, &error) ==
          MU_CONFIG);
    CHECK(error == EADDRNOTAVAIL);
    loop->ops->listener_close(listener);
    loop->ops->destroy(loop);
    return NULL;
}

/* ---- turns, wakes, timers ---- */

/* The simulated one has no such addresses. */
const char *unix_sockets_are_of_the_real_world(
    struct mu_world *world, const struct mu_address *free_address)
{
    (void)free_address;
    struct mu_loop *loop;
    struct mu_listener *listener = NULL;
    struct mu_address address = {.port = 1};
    struct end end = {0};
    int error = 0;
    bool real = strcmp(world->ops->name, "real") == 0;
    snprintf(address.host, sizeof(address.host), "unix:muster-loops-%d", getpid());
    CHECK(world->ops->loop_create(world, &loop) == MU_OK);
    CHECK(loop->ops->listen(loop, &address, -1, mu_ends_on_accepted, NULL, &listener, &error) ==
          (real ? MU_OK : MU_CONFIG));
    loop->ops->listener_close(listener);
    if (real)
        CHECK(loop->ops->connect(loop, &address, &mu_ends_events, &end, &end.stream) ==
              MU_UNAVAILABLE);
    memset(address.host + 5, 'x', 120); /* longer than such a name can be */
    CHECK(loop->ops->listen(loop, &address, -1, mu_ends_on_accepted, NULL, &listener, &error) !=
          MU_OK);
    loop->ops->destroy(loop);
    return NULL;
}

const char *a_turn_ends_at_its_deadline(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct mu_loop *loop;
    CHECK(world->ops->loop_create(world, &loop) == MU_OK);
    int64_t deadline = soon(world, 3 * MU_MS);
    while (mu_now(world) < deadline)
        CHECK(loop->ops->turn(loop, deadline) == MU_TIMEOUT);
    CHECK(loop->ops->turn(loop, deadline) == MU_TIMEOUT);
    const bool never = false;
    CHECK(mu_loop_until(loop, &never, soon(world, MU_MS)) == MU_TIMEOUT);
    loop->ops->destroy(loop);
    return NULL;
}

struct waker {
    struct mu_loop *loop;
};

static void wake_loop(void *argument)
{
    struct waker *waker = argument;
    waker->loop->ops->wake(waker->loop);
}

const char *a_wake_from_another_thread_ends_the_turn(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct waker waker = {NULL};
    struct mu_thread *thread;
    CHECK(world->ops->loop_create(world, &waker.loop) == MU_OK);
    int64_t start = mu_now(world);
    CHECK(world->ops->spawn(world, "waker", wake_loop, &waker, &thread) == MU_OK);
    CHECK(waker.loop->ops->turn(waker.loop, start + PATIENCE) == MU_OK);
    world->ops->join(world, thread);
    /* One that comes before the turn is not lost. */
    waker.loop->ops->wake(waker.loop);
    CHECK(waker.loop->ops->turn(waker.loop, start + PATIENCE) == MU_OK);
    CHECK(mu_now(world) < start + PATIENCE);
    waker.loop->ops->destroy(waker.loop);
    return NULL;
}

struct ticks {
    struct mu_loop *loop;
    struct mu_timer *timer;
    int count, stop_at;
    bool enough;
};

static void on_tick(void *owner)
{
    struct ticks *ticks = owner;
    if (++ticks->count == ticks->stop_at) {
        ticks->loop->ops->timer_stop(ticks->timer);
        ticks->enough = true;
    }
}

const char *timers_tick_until_they_are_stopped(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct ticks ticks = {.stop_at = 4};
    CHECK(world->ops->loop_create(world, &ticks.loop) == MU_OK);
    const struct mu_net_ops *ops = ticks.loop->ops;
    int64_t start = mu_now(world);
    CHECK(ops->timer_start(ticks.loop, 2 * MU_MS, on_tick, &ticks, &ticks.timer) == MU_OK);
    CHECK(mu_ends_wait_flag(ticks.loop, &ticks.enough) == MU_OK);
    CHECK(mu_now(world) >= start + 7 * MU_MS); /* a real timer's first tick may come a bit early */
    mu_ends_turn_for(ticks.loop, 5 * MU_MS);
    CHECK(ticks.count == 4);
    CHECK(ops->timer_start(ticks.loop, PATIENCE, on_tick, &ticks, &ticks.timer) == MU_OK);
    ops->timer_stop(ticks.timer);
    ops->timer_stop(NULL);
    ops->destroy(ticks.loop);
    return NULL;
}

/* ---- threads that talk ---- */

#define TALK_BYTES ((size_t)3 << 20)

struct talker {
    struct mu_world *world;
    struct mu_address address;
    const char *wrong;
};

static const char *talk(struct talker *talker)
{
    static struct end end;
    struct mu_world *world = talker->world;
    memset(&end, 0, sizeof(end));
    CHECK(world->ops->loop_create(world, &end.loop) == MU_OK);
    CHECK(end.loop->ops->connect(end.loop, &talker->address, &mu_ends_events, &end, &end.stream) ==
          MU_OK);
    CHECK(mu_ends_wait_flag(end.loop, &end.connected) == MU_OK);
    CHECK(end.status == MU_OK);
    uint8_t *sent = mu_ends_pattern(TALK_BYTES);
    CHECK(sent);
    mu_ends_send_bytes(&end, sent, TALK_BYTES);
    CHECK(mu_ends_wait_flag(end.loop, &end.drained) == MU_OK);
    CHECK(mu_ends_wait_flag(end.loop, &end.ended) == MU_OK); /* the other side closes first */
    CHECK(end.done_ok == 1 && end.error == 0);
    mu_ends_shut(&end);
    end.loop->ops->destroy(end.loop);
    free(sent);
    return NULL;
}

static void talker_main(void *argument)
{
    struct talker *talker = argument;
    talker->wrong = talk(talker);
}

const char *threads_talk_over_loops_of_their_own(
    struct mu_world *world, const struct mu_address *free_address)
{
    static struct pair pair;
    struct mu_thread *thread;
    struct talker talker = {.world = world, .address = *free_address};
    const char *wrong = mu_ends_pair_listen(world, free_address, &pair);
    if (wrong)
        return wrong;
    mu_ends_expect(&pair.server, TALK_BYTES);
    CHECK(world->ops->spawn(world, "talker", talker_main, &talker, &thread) == MU_OK);
    CHECK(mu_ends_wait_flag(pair.loop, &pair.server.enough) == MU_OK);
    mu_ends_shut(&pair.server);
    world->ops->join(world, thread);
    if (talker.wrong)
        return talker.wrong;
    CHECK(pair.server.got == TALK_BYTES);
    return mu_ends_pair_close(&pair);
}
