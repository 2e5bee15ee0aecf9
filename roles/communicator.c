/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/communicator.h"

static struct mu_command *take(struct mu_communicator *communicator, bool *ret_leaving)
{
    struct mu_world *world = communicator->world;
    world->ops->enter(world, communicator->monitor);
    struct mu_command *command = communicator->first;
    if (command) {
        communicator->first = command->next;
        if (!communicator->first)
            communicator->last = &communicator->first;
    }
    *ret_leaving = communicator->leaving;
    world->ops->leave(world, communicator->monitor);
    return command;
}

static void finish(
    struct mu_communicator *communicator, struct mu_command *command, enum mu_status status)
{
    struct mu_world *world = communicator->world;
    world->ops->enter(world, communicator->monitor);
    command->status = status;
    command->done = true;
    world->ops->notify(world, communicator->monitor);
    world->ops->leave(world, communicator->monitor);
}

static void make_loop(struct mu_communicator *communicator)
{
    struct mu_world *world = communicator->world;
    struct mu_loop *loop = NULL;
    enum mu_status status = world->ops->loop_create(world, &loop);
    world->ops->enter(world, communicator->monitor);
    communicator->loop = loop;
    communicator->status = status;
    communicator->ready = true;
    world->ops->notify(world, communicator->monitor);
    world->ops->leave(world, communicator->monitor);
}

static void run_thread(void *argument)
{
    struct mu_communicator *communicator = argument;
    make_loop(communicator);
    if (!communicator->loop)
        return;
    bool leaving = false;
    for (;;) {
        struct mu_command *command = take(communicator, &leaving);
        if (command) {
            finish(communicator, command, command->run(command));
        } else if (leaving) {
            break;
        } else {
            enum mu_status turned = communicator->loop->ops->turn(communicator->loop, MU_FOREVER);
            (void)turned;
        }
        atomic_store_explicit(
            &communicator->cancelled, communicator->loop->cancelled, memory_order_release);
    }
    communicator->loop->ops->destroy(communicator->loop);
}

enum mu_status mu_communicator_start(struct mu_communicator *communicator, struct mu_world *world)
{
    *communicator = (struct mu_communicator){.world = world};
    communicator->last = &communicator->first;
    MU_TRY(world->ops->monitor_create(world, &communicator->monitor));
    enum mu_status status =
        world->ops->spawn(world, "communication", run_thread, communicator, &communicator->thread);
    if (status != MU_OK) {
        mu_communicator_stop(communicator);
        return status;
    }
    world->ops->enter(world, communicator->monitor);
    while (!communicator->ready)
        status = world->ops->wait(world, communicator->monitor, MU_FOREVER);
    status = communicator->status;
    world->ops->leave(world, communicator->monitor);
    if (status != MU_OK)
        mu_communicator_stop(communicator);
    return status;
}

void mu_communicator_stop(struct mu_communicator *communicator)
{
    struct mu_world *world = communicator->world;
    if (!world)
        return;
    if (communicator->thread) {
        world->ops->enter(world, communicator->monitor);
        communicator->leaving = true;
        /* Inside: until we leave, the thread cannot see it and take the loop away. */
        if (communicator->loop)
            communicator->loop->ops->wake(communicator->loop);
        world->ops->leave(world, communicator->monitor);
        world->ops->join(world, communicator->thread);
    }
    world->ops->monitor_destroy(world, communicator->monitor);
    *communicator = (struct mu_communicator){0};
}

void mu_communicator_post(struct mu_communicator *communicator, struct mu_command *command)
{
    struct mu_world *world = communicator->world;
    command->done = false;
    command->next = NULL;
    world->ops->enter(world, communicator->monitor);
    *communicator->last = command;
    communicator->last = &command->next;
    world->ops->leave(world, communicator->monitor);
    communicator->loop->ops->wake(communicator->loop);
}

enum mu_status mu_communicator_wait(
    struct mu_communicator *communicator, struct mu_command *command)
{
    struct mu_world *world = communicator->world;
    world->ops->enter(world, communicator->monitor);
    while (!command->done) {
        enum mu_status waited = world->ops->wait(world, communicator->monitor, MU_FOREVER);
        (void)waited;
    }
    enum mu_status status = command->status;
    world->ops->leave(world, communicator->monitor);
    return status;
}

enum mu_status mu_communicator_do(struct mu_communicator *communicator,
    enum mu_status (*run)(struct mu_command *command), void *owner)
{
    struct mu_command command = {.run = run, .owner = owner};
    mu_communicator_post(communicator, &command);
    return mu_communicator_wait(communicator, &command);
}
