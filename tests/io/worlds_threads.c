/* SPDX-License-Identifier: Apache-2.0 */
#include "worlds_cases.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- time, threads, monitors ---- */

const char *sleep_lasts_until_its_deadline(
    struct mu_world *world, const struct mu_address *free_address)
{
    int64_t before = mu_now(world), deadline = before + 3 * MU_MS;
    world->ops->sleep_until(world, deadline);
    CHECK(mu_now(world) >= deadline);
    world->ops->sleep_until(world, before);
    CHECK(mu_now(world) >= deadline);
    CHECK(world->ops->wall_ns(world) > INT64_C(1700000000) * MU_SECOND);
    return NULL;
}

const char *random_bytes_differ(struct mu_world *world, const struct mu_address *free_address)
{
    uint8_t first[33] = {0}, second[33] = {0};
    world->ops->random_bytes(world, first, 32);
    world->ops->random_bytes(world, second, 32);
    CHECK(memcmp(first, second, 32) != 0);
    CHECK(first[32] == 0 && second[32] == 0);
    return NULL;
}

struct shared {
    struct mu_world *world;
    struct mu_monitor *monitor;
    int number, inside, woken, timed_out;
    bool go;
};

static void add_many(void *argument)
{
    struct shared *shared = argument;
    const struct mu_world_ops *ops = shared->world->ops;
    for (int i = 0; i < 2000; i++) {
        ops->enter(shared->world, shared->monitor);
        shared->number++;
        ops->leave(shared->world, shared->monitor);
    }
}

const char *threads_exclude_each_other_in_a_monitor(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct shared shared = {.world = world};
    struct mu_thread *threads[4];
    CHECK(world->ops->monitor_create(world, &shared.monitor) == MU_OK);
    for (int i = 0; i < 4; i++)
        CHECK(world->ops->spawn(world, "adder", add_many, &shared, &threads[i]) == MU_OK);
    for (int i = 0; i < 4; i++)
        world->ops->join(world, threads[i]);
    CHECK(shared.number == 8000);
    world->ops->monitor_destroy(world, shared.monitor);
    world->ops->monitor_destroy(world, NULL);
    return NULL;
}

const char *wait_ends_at_its_deadline(struct mu_world *world, const struct mu_address *free_address)
{
    struct mu_monitor *monitor;
    CHECK(world->ops->monitor_create(world, &monitor) == MU_OK);
    world->ops->enter(world, monitor);
    int64_t deadline = soon(world, 3 * MU_MS);
    enum mu_status status;
    while ((status = world->ops->wait(world, monitor, deadline)) == MU_OK)
        ;
    CHECK(status == MU_TIMEOUT);
    CHECK(mu_now(world) >= deadline);
    CHECK(world->ops->wait(world, monitor, deadline) == MU_TIMEOUT);
    world->ops->leave(world, monitor);
    world->ops->monitor_destroy(world, monitor);
    return NULL;
}

static void wait_for_go(void *argument)
{
    struct shared *shared = argument;
    const struct mu_world_ops *ops = shared->world->ops;
    int64_t deadline = soon(shared->world, PATIENCE);
    ops->enter(shared->world, shared->monitor);
    shared->inside++;
    ops->notify(shared->world, shared->monitor);
    while (!shared->go) {
        if (ops->wait(shared->world, shared->monitor, deadline) == MU_TIMEOUT) {
            shared->timed_out++;
            break;
        }
    }
    shared->woken++;
    ops->leave(shared->world, shared->monitor);
}

const char *notify_wakes_all_that_wait(
    struct mu_world *world, const struct mu_address *free_address)
{
    struct shared shared = {.world = world};
    struct mu_thread *threads[3];
    CHECK(world->ops->monitor_create(world, &shared.monitor) == MU_OK);
    for (int i = 0; i < 3; i++)
        CHECK(world->ops->spawn(world, "waiter", wait_for_go, &shared, &threads[i]) == MU_OK);
    world->ops->enter(world, shared.monitor);
    while (shared.inside < 3)
        (void)!world->ops->wait(world, shared.monitor, MU_FOREVER);
    int woken_before = shared.woken;
    shared.go = true;
    world->ops->notify(world, shared.monitor);
    world->ops->leave(world, shared.monitor);
    for (int i = 0; i < 3; i++)
        world->ops->join(world, threads[i]);
    CHECK(woken_before == 0);
    CHECK(shared.woken == 3);
    CHECK(shared.timed_out == 0);
    world->ops->monitor_destroy(world, shared.monitor);
    return NULL;
}

static void take_odd_turns(void *argument)
{
    struct shared *shared = argument;
    const struct mu_world_ops *ops = shared->world->ops;
    ops->enter(shared->world, shared->monitor);
    while (shared->number < 200) {
        if (shared->number % 2 == 1) {
            shared->number++;
            ops->notify(shared->world, shared->monitor);
        } else {
            (void)!ops->wait(shared->world, shared->monitor, MU_FOREVER);
        }
    }
    ops->leave(shared->world, shared->monitor);
}

const char *two_threads_alternate(struct mu_world *world, const struct mu_address *free_address)
{
    struct shared shared = {.world = world};
    struct mu_thread *thread;
    CHECK(world->ops->monitor_create(world, &shared.monitor) == MU_OK);
    CHECK(world->ops->spawn(world, "odd", take_odd_turns, &shared, &thread) == MU_OK);
    world->ops->enter(world, shared.monitor);
    while (shared.number < 200) {
        if (shared.number % 2 == 0) {
            shared.number++;
            world->ops->notify(world, shared.monitor);
        } else {
            (void)!world->ops->wait(world, shared.monitor, MU_FOREVER);
        }
    }
    world->ops->leave(world, shared.monitor);
    world->ops->join(world, thread);
    CHECK(shared.number == 200);
    world->ops->monitor_destroy(world, shared.monitor);
    return NULL;
}

/* ---- processes ---- */

const char *only_the_real_world_knows_who_is_stopped(
    struct mu_world *world, const struct mu_address *free_address)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(child, NULL, WUNTRACED);
    bool stopped = mu_process_stopped(world, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(stopped == (strcmp(world->ops->name, "real") == 0));
    CHECK(!mu_process_stopped(world, world->process));
    return NULL;
}
