/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim_world.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a task's numbers are for keeps them apart. */
#define STREAM_RANDOM 1
#define STREAM_COMPUTE 2
#define STREAM_STRAGGLE 3

static struct mu_sim_world *sim_of(struct mu_world *world)
{
    return (struct mu_sim_world *)world;
}

static struct mu_scheduler *scheduler_of(struct mu_world *world)
{
    return sim_of(world)->crew->scheduler;
}

/* ---- time and chance ---- */

static int64_t now_ns(struct mu_world *world)
{
    return scheduler_of(world)->agenda.now_ns;
}

static int64_t wall_ns(struct mu_world *world)
{
    return MU_SIM_WALL_START_NS + now_ns(world);
}

static void random_bytes(struct mu_world *world, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    while (bytes > 0) {
        uint64_t word = mu_random_next(&sim_of(world)->random);
        size_t part = bytes < sizeof(word) ? bytes : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        bytes -= part;
    }
}

static void sleep_until(struct mu_world *world, int64_t deadline_ns)
{
    mu_strand_wait(scheduler_of(world), "time to pass", deadline_ns);
}

/* Numbers of their own for each purpose, task and step. */
static void init_draw(
    struct mu_random *random, uint64_t seed, uint64_t purpose, int task, int64_t step)
{
    uint64_t of_task = mu_random_mix(mu_random_mix(seed, purpose), (uint64_t)task);
    mu_random_init(random, mu_random_mix(of_task, (uint64_t)step));
}

int64_t mu_sim_compute_ns(
    const struct mu_sim_compute *compute, uint64_t seed, int task, int64_t step)
{
    struct mu_random random;
    double ns = (double)compute->mean_ns, sigma = compute->sigma;
    /* The mean of exp(sigma z) is exp(sigma^2 / 2). */
    if (compute->kind == MU_SIM_COMPUTE_LOGNORMAL) {
        init_draw(&random, seed, STREAM_COMPUTE, task, step);
        ns *= exp(sigma * mu_random_normal(&random) - sigma * sigma / 2);
    }
    if (compute->straggle_fraction > 0) {
        init_draw(&random, seed, STREAM_STRAGGLE, task, step);
        if (mu_random_unit(&random) < compute->straggle_fraction)
            ns *= compute->straggle_factor;
    }
    return ns < (double)MU_SIM_COMPUTE_NS_MAX ? (int64_t)ns : MU_SIM_COMPUTE_NS_MAX;
}

static void computed(struct mu_world *world, int64_t step, double share)
{
    struct mu_sim_world *sim = sim_of(world);
    assert(share >= 0 && share <= 1);
    double whole_ns = (double)mu_sim_compute_ns(sim->compute, sim->seed, sim->task, step);
    const struct mu_sim_faults *faults = sim->host->net->faults;
    int64_t ns = (int64_t)(share * whole_ns);
    if (faults->compute_delay_ns)
        ns += faults->compute_delay_ns(faults->owner, sim->task, step);
    mu_event_log_line(sim->host->net->events, sim->host->task,
        "computes %.4f of step %lld for %lld ns", share, (long long)step, (long long)ns);
    mu_strand_wait(scheduler_of(world), "its arithmetic", mu_deadline(now_ns(world), ns));
}

/* ---- threads ---- */

struct mu_thread {
    struct mu_strand *strand, *joiner;
    void (*run)(void *argument);
    void *argument;
    bool done;
};

static void thread_main(void *argument)
{
    struct mu_thread *thread = argument;
    thread->run(thread->argument);
    thread->done = true;
    if (thread->joiner)
        mu_strand_ready(thread->joiner);
}

static enum mu_status spawn(struct mu_world *world, const char *name, void (*run)(void *argument),
    void *argument, struct mu_thread **ret_thread)
{
    struct mu_sim_world *sim = sim_of(world);
    struct mu_thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return MU_UNAVAILABLE;
    thread->run = run;
    thread->argument = argument;
    char full_name[MU_STRAND_NAME_MAX];
    snprintf(full_name, sizeof(full_name), "%s %s", sim->host->task, name);
    if (mu_strand_create(sim->crew, full_name, false, thread_main, thread, &thread->strand) !=
        MU_OK) {
        free(thread);
        return MU_UNAVAILABLE;
    }
    *ret_thread = thread;
    return MU_OK;
}

static void join(struct mu_world *world, struct mu_thread *thread)
{
    struct mu_scheduler *scheduler = scheduler_of(world);
    assert(!thread->joiner);
    thread->joiner = scheduler->running;
    while (!thread->done)
        mu_strand_wait(scheduler, thread->strand->name, MU_FOREVER);
    mu_strand_destroy(thread->strand);
    free(thread);
}

/* ---- monitors ---- */

struct waiter {
    struct mu_strand *strand;
    bool notified;
    struct waiter *next;
};

struct mu_monitor {
    struct mu_strand *inside;
    struct waiter *first; /* oldest first */
};

static enum mu_status monitor_create(struct mu_world *world, struct mu_monitor **ret_monitor)
{
    (void)world;
    struct mu_monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return MU_NO_MEMORY;
    *ret_monitor = monitor;
    return MU_OK;
}

static void monitor_destroy(struct mu_world *world, struct mu_monitor *monitor)
{
    (void)world;
    if (!monitor)
        return;
    assert(!monitor->inside);
    assert(!monitor->first);
    free(monitor);
}

static void enter(struct mu_world *world, struct mu_monitor *monitor)
{
    struct mu_strand *strand = scheduler_of(world)->running;
    /* Who is inside does not block and so is never caught there by somebody else; a second entry by
     * the same thread would be a deadlock in the real world. */
    assert(!monitor->inside);
    monitor->inside = strand;
    strand->monitors++;
}

static void leave(struct mu_world *world, struct mu_monitor *monitor)
{
    struct mu_strand *strand = scheduler_of(world)->running;
    assert(monitor->inside == strand);
    monitor->inside = NULL;
    strand->monitors--;
}

static void remove_waiter(struct mu_monitor *monitor, struct waiter *waiter)
{
    struct waiter **at = &monitor->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

static enum mu_status monitor_wait(
    struct mu_world *world, struct mu_monitor *monitor, int64_t deadline_ns)
{
    struct mu_scheduler *scheduler = scheduler_of(world);
    struct waiter waiter = {.strand = scheduler->running};
    struct waiter **at = &monitor->first;
    while (*at)
        at = &(*at)->next;
    *at = &waiter;
    leave(world, monitor);
    mu_strand_wait(scheduler, "a notify", deadline_ns);
    enter(world, monitor);
    if (!waiter.notified)
        remove_waiter(monitor, &waiter);
    return waiter.notified ? MU_OK : MU_TIMEOUT;
}

static void notify(struct mu_world *world, struct mu_monitor *monitor)
{
    assert(monitor->inside == scheduler_of(world)->running);
    while (monitor->first) {
        struct waiter *waiter = monitor->first;
        monitor->first = waiter->next;
        waiter->notified = true;
        mu_strand_ready(waiter->strand);
    }
}

/* ---- the table ---- */

static enum mu_status loop_create(struct mu_world *world, struct mu_loop **ret_loop)
{
    return mu_sim_net_loop_create(sim_of(world)->host, world, ret_loop);
}

static const struct mu_world_ops sim_world_ops = {
    .name = "simulated",
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
    .loop_create = loop_create,
};

void mu_sim_world_init(struct mu_sim_world *sim, struct mu_crew *crew, struct mu_sim_host *host,
    const struct mu_sim_compute *compute, uint64_t seed, int task)
{
    *sim = (struct mu_sim_world){.world = {.ops = &sim_world_ops,
                                     .host = host->address,
                                     .process = 1000 + task,
                                     .processors = 1 << 20},
        .crew = crew,
        .host = host,
        .compute = compute,
        .seed = seed,
        .task = task};
    mu_random_init(&sim->random, mu_random_mix(mu_random_mix(seed, STREAM_RANDOM), (uint64_t)task));
}
