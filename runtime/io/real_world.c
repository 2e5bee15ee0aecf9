/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/real_world.h"
#include "runtime/io/host.h"
#include "runtime/io/processors.h"
#include "runtime/io/shared_memory.h"
#include "runtime/io/signals.h"
#include "runtime/io/uv_loop.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * MU_SECOND + time.tv_nsec;
}

static struct timespec as_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / MU_SECOND, .tv_nsec = ns % MU_SECOND};
}

static int64_t now_ns(struct mu_world *world)
{
    (void)world;
    return nanoseconds(CLOCK_MONOTONIC);
}

static int64_t wall_ns(struct mu_world *world)
{
    (void)world;
    return nanoseconds(CLOCK_REALTIME);
}

static void random_bytes(struct mu_world *world, void *buffer, size_t bytes)
{
    (void)world;
    mu_shared_memory_random(buffer, bytes);
}

static void sleep_until(struct mu_world *world, int64_t deadline_ns)
{
    (void)world;
    struct timespec deadline = as_timespec(deadline_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == EINTR)
        ;
}

static void computed(struct mu_world *world, int64_t step, double share)
{
    (void)world;
    (void)step;
    (void)share;
}

/* ---- threads ---- */

struct mu_thread {
    pthread_t pthread;
    void (*run)(void *argument);
    void *argument;
    char name[16];
};

static void *thread_main(void *argument)
{
    struct mu_thread *thread = argument;
    pthread_setname_np(pthread_self(), thread->name);
    mu_processors_answer_soon();
    thread->run(thread->argument);
    return NULL;
}

static enum mu_status spawn(struct mu_world *world, const char *name, void (*run)(void *argument),
    void *argument, struct mu_thread **ret_thread)
{
    (void)world;
    struct mu_thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return MU_NO_MEMORY;
    thread->run = run;
    thread->argument = argument;
    strncpy(thread->name, name, sizeof(thread->name) - 1);
    /* Signals are the main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->pthread, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(thread);
        return MU_UNAVAILABLE;
    }
    *ret_thread = thread;
    return MU_OK;
}

static void join(struct mu_world *world, struct mu_thread *thread)
{
    (void)world;
    pthread_join(thread->pthread, NULL);
    free(thread);
}

/* ---- monitors ---- */

struct mu_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

static enum mu_status monitor_create(struct mu_world *world, struct mu_monitor **ret_monitor)
{
    (void)world;
    struct mu_monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return MU_NO_MEMORY;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&monitor->mutex, NULL);
    pthread_cond_init(&monitor->condition, &attributes);
    pthread_condattr_destroy(&attributes);
    *ret_monitor = monitor;
    return MU_OK;
}

static void monitor_destroy(struct mu_world *world, struct mu_monitor *monitor)
{
    (void)world;
    if (!monitor)
        return;
    pthread_cond_destroy(&monitor->condition);
    pthread_mutex_destroy(&monitor->mutex);
    free(monitor);
}

static void enter(struct mu_world *world, struct mu_monitor *monitor)
{
    (void)world;
    pthread_mutex_lock(&monitor->mutex);
}

static void leave(struct mu_world *world, struct mu_monitor *monitor)
{
    (void)world;
    pthread_mutex_unlock(&monitor->mutex);
}

static enum mu_status monitor_wait(
    struct mu_world *world, struct mu_monitor *monitor, int64_t deadline_ns)
{
    (void)world;
    if (deadline_ns == MU_FOREVER) {
        pthread_cond_wait(&monitor->condition, &monitor->mutex);
        return MU_OK;
    }
    struct timespec deadline = as_timespec(deadline_ns);
    int error = pthread_cond_timedwait(&monitor->condition, &monitor->mutex, &deadline);
    return error == ETIMEDOUT ? MU_TIMEOUT : MU_OK;
}

static void notify(struct mu_world *world, struct mu_monitor *monitor)
{
    (void)world;
    pthread_cond_broadcast(&monitor->condition);
}

static bool stop_requested(struct mu_world *world)
{
    (void)world;
    return mu_signals_stop() != 0;
}

static bool process_stopped(struct mu_world *world, int process)
{
    (void)world;
    return mu_host_process_stopped(process);
}

static const struct mu_world_ops real_world_ops = {
    .name = "real",
    .now_ns = now_ns,
    .wall_ns = wall_ns,
    .random_bytes = random_bytes,
    .sleep_until = sleep_until,
    .computed = computed,
    .spawn = spawn,
    .join = join,
    .monitor_create = monitor_create,
    .monitor_destroy = monitor_destroy,
    .enter = enter,
    .leave = leave,
    .wait = monitor_wait,
    .notify = notify,
    .stop_requested = stop_requested,
    .process_stopped = process_stopped,
    .loop_create = mu_uv_loop_create,
};

enum mu_status mu_real_world_init(struct mu_real_world *real)
{
    *real = (struct mu_real_world){.world = {.ops = &real_world_ops}};
    if (gethostname(real->host, sizeof(real->host) - 1) != 0)
        return MU_IO_ERROR;
    real->world.host = real->host;
    real->world.process = (int)getpid();
    real->world.processors = mu_processors_count();
    /* A peer that is gone shows as an error of the write, not as a signal. */
    signal(SIGPIPE, SIG_IGN);
    return MU_OK;
}

void mu_real_world_finish(struct mu_real_world *real)
{
    real->world.ops = NULL;
}
