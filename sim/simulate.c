/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/simulate.h"
#include <stdlib.h>
#include <string.h>

struct sim_task {
    struct mu_sim_world world;
    struct mu_crew crew;
    char name[MU_TASK_NAME_MAX];
    struct mu_event_sink sink;
    bool killed;
    int incarnation; /* grows when it is killed */
};

/* Something that happens to a task at a time given beforehand. */
struct planned {
    struct mu_event event;
    struct mu_sim *sim;
    int task;

    int64_t to_ns; /* of a pause */
    bool stopped;
    int incarnation; /* that was stopped: a later one does not care */

    const char *name; /* of the main thread, when the task starts again */
    void (*run)(void *argument);
    void *argument;

    struct planned *next;
};

struct mu_sim {
    struct mu_log *log;
    struct mu_scheduler scheduler;
    struct mu_event_log events;
    struct mu_sim_net net;
    struct mu_sim_compute compute;
    struct mu_sim_faults faults;
    struct sim_task *tasks;
    struct mu_crew **crews;
    int task_count;
    struct planned *planned;
};

/* ---- faults ---- */

static enum mu_status plan(
    struct mu_sim *sim, struct planned what, int64_t at_ns, void (*happen)(void *owner))
{
    assert(what.task >= 0 && what.task < sim->task_count);
    struct planned *planned = calloc(1, sizeof(*planned));
    if (!planned)
        return MU_NO_MEMORY;
    *planned = what;
    if (mu_agenda_event_init(&sim->scheduler.agenda, &planned->event, happen, planned) != MU_OK) {
        free(planned);
        return MU_NO_MEMORY;
    }
    planned->sim = sim;
    planned->next = sim->planned;
    sim->planned = planned;
    mu_agenda_arm(&planned->event, at_ns);
    return MU_OK;
}

static void kill_now(struct mu_sim *sim, int index)
{
    struct sim_task *task = &sim->tasks[index];
    if (task->killed)
        return;
    mu_event_log_line(&sim->events, task->name, "is killed");
    task->killed = true;
    task->incarnation++;
    mu_sim_net_host_reset(&sim->net.hosts[index]);
    mu_crew_kill(&task->crew);
}

static void on_kill(void *owner)
{
    struct planned *planned = owner;
    kill_now(planned->sim, planned->task);
}

static void stop_now(struct planned *pause)
{
    struct sim_task *task = &pause->sim->tasks[pause->task];
    if (task->killed)
        return;
    mu_event_log_line(&pause->sim->events, task->name, "is stopped");
    mu_crew_stop(&task->crew);
    pause->stopped = true;
    pause->incarnation = task->incarnation;
    mu_agenda_arm(&pause->event, pause->to_ns);
}

static void resume_now(struct planned *pause)
{
    struct sim_task *task = &pause->sim->tasks[pause->task];
    if (pause->incarnation != task->incarnation)
        return;
    mu_event_log_line(&pause->sim->events, task->name, "goes on");
    mu_crew_resume(&task->crew);
}

static void on_pause(void *owner)
{
    struct planned *pause = owner;
    if (pause->stopped)
        resume_now(pause);
    else
        stop_now(pause);
}

static void on_restart(void *owner)
{
    struct planned *planned = owner;
    struct mu_sim *sim = planned->sim;
    struct sim_task *task = &sim->tasks[planned->task];
    assert(task->killed);
    enum mu_status status =
        mu_sim_start(sim, planned->task, planned->name, planned->run, planned->argument);
    task->killed = status != MU_OK;
    mu_event_log_line(&sim->events, task->name, "starts again: %s", mu_status_name(status));
}

enum mu_status mu_sim_kill(struct mu_sim *sim, int task, int64_t at_ns)
{
    return plan(sim, (struct planned){.task = task}, at_ns, on_kill);
}

enum mu_status mu_sim_pause(struct mu_sim *sim, int task, int64_t from_ns, int64_t to_ns)
{
    assert(from_ns < to_ns);
    return plan(sim, (struct planned){.task = task, .to_ns = to_ns}, from_ns, on_pause);
}

enum mu_status mu_sim_restart(struct mu_sim *sim, int task, int64_t at_ns, const char *name,
    void (*run)(void *argument), void *argument)
{
    return plan(sim, (struct planned){.task = task, .name = name, .run = run, .argument = argument},
        at_ns, on_restart);
}

/* Lets the faults decide whether the task may run; true if it may not. */
static bool consult(void *owner, struct mu_crew *crew)
{
    struct mu_sim *sim = owner;
    struct sim_task *task = crew->owner;
    int index = (int)(task - sim->tasks);
    int64_t now_ns = sim->scheduler.agenda.now_ns;
    int64_t stop_ns = sim->faults.task_stop_ns(sim->faults.owner, index, now_ns);
    if (stop_ns == 0)
        return false;
    if (stop_ns == MU_SIM_KILL) {
        kill_now(sim, index);
        return true;
    }
    const struct planned pause = {.task = index, .to_ns = mu_deadline(now_ns, stop_ns)};
    if (plan(sim, pause, now_ns, on_pause) != MU_OK)
        return false;
    stop_now(sim->planned);
    return true;
}

/* ---- life ---- */

static enum mu_status init_task(struct mu_sim *sim, const struct mu_sim_options *options, int index)
{
    struct sim_task *task = &sim->tasks[index];
    if (options->names)
        mu_text_copy(task->name, sizeof(task->name), options->names[index]);
    else
        mu_format(task->name, sizeof(task->name), "task/%d", index);
    MU_TRY(mu_sim_net_host_init(&sim->net, index, task->name, options->link_bits_per_second));
    mu_sim_world_init(
        &task->world, &task->crew, &sim->net.hosts[index], &sim->compute, options->seed, index);
    mu_event_log_sink_init(&task->sink, &sim->events, task->name, options->level, options->also);
    return MU_OK;
}

static void init_parts(struct mu_sim *sim, const struct mu_sim_options *options, struct mu_log *log)
{
    sim->log = log;
    sim->compute = options->compute;
    if (options->faults)
        sim->faults = *options->faults;
    for (int i = 0; i < options->tasks; i++) {
        sim->crews[i] = &sim->tasks[i].crew;
        sim->tasks[i].crew.owner = &sim->tasks[i];
    }
    mu_scheduler_init(&sim->scheduler, sim->crews, options->tasks);
    sim->scheduler.now_ns_max = options->now_ns_max ? options->now_ns_max : MU_SIM_NOW_NS_MAX;
    sim->scheduler.events_max = options->events_max ? options->events_max : MU_SIM_EVENTS_MAX;
    sim->scheduler.instant_runs_max = MU_SIM_INSTANT_RUNS_MAX;
    sim->scheduler.consult = sim->faults.task_stop_ns ? consult : NULL;
    sim->scheduler.owner = sim;
    sim->events = (struct mu_event_log){.file = options->events, .agenda = &sim->scheduler.agenda};
    sim->net.scheduler = &sim->scheduler;
    sim->net.events = &sim->events;
    sim->net.latency_ns = options->link_latency_ns;
    sim->net.faults = &sim->faults;
}

enum mu_status mu_sim_create(
    const struct mu_sim_options *options, struct mu_log *log, struct mu_sim **ret_sim)
{
    assert(options->tasks > 0 && options->tasks <= MU_SIM_TASKS_MAX);
    assert(options->link_latency_ns >= 0);
    size_t count = (size_t)options->tasks;
    struct mu_sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        return MU_NO_MEMORY;
    sim->tasks = calloc(count, sizeof(*sim->tasks));
    sim->crews = calloc(count, sizeof(*sim->crews));
    sim->net.hosts = calloc(count, sizeof(*sim->net.hosts));
    if (!sim->tasks || !sim->crews || !sim->net.hosts) {
        mu_sim_destroy(sim);
        return MU_NO_MEMORY;
    }
    init_parts(sim, options, log);
    while (sim->task_count < options->tasks) {
        if (init_task(sim, options, sim->task_count) != MU_OK) {
            mu_sim_destroy(sim);
            return MU_NO_MEMORY;
        }
        sim->net.host_count = ++sim->task_count;
    }
    *ret_sim = sim;
    return MU_OK;
}

void mu_sim_destroy(struct mu_sim *sim)
{
    if (!sim)
        return;
    for (int i = 0; i < sim->task_count; i++)
        mu_sim_net_host_reset(&sim->net.hosts[i]);
    for (int i = 0; i < sim->task_count; i++)
        mu_sim_net_host_finish(&sim->net.hosts[i]);
    while (sim->planned) {
        struct planned *planned = sim->planned;
        sim->planned = planned->next;
        mu_agenda_event_finish(&planned->event);
        free(planned);
    }
    if (sim->scheduler.crews)
        mu_scheduler_finish(&sim->scheduler);
    free(sim->net.hosts);
    free(sim->crews);
    free(sim->tasks);
    free(sim);
}

/* ---- use ---- */

struct mu_world *mu_sim_task_world(struct mu_sim *sim, int task)
{
    assert(task >= 0 && task < sim->task_count);
    return &sim->tasks[task].world.world;
}

struct mu_log *mu_sim_task_log(struct mu_sim *sim, int task)
{
    assert(task >= 0 && task < sim->task_count);
    return &sim->tasks[task].sink.log;
}

const char *mu_sim_task_host(struct mu_sim *sim, int task)
{
    return mu_sim_task_world(sim, task)->host;
}

bool mu_sim_task_killed(struct mu_sim *sim, int task)
{
    assert(task >= 0 && task < sim->task_count);
    return sim->tasks[task].killed;
}

enum mu_status mu_sim_start(
    struct mu_sim *sim, int index, const char *name, void (*run)(void *argument), void *argument)
{
    assert(index >= 0 && index < sim->task_count);
    struct sim_task *task = &sim->tasks[index];
    char full_name[MU_STRAND_NAME_MAX];
    snprintf(full_name, sizeof(full_name), "%s %s", task->name, name);
    struct mu_strand *strand;
    return mu_strand_create(&task->crew, full_name, true, run, argument, &strand);
}

enum mu_status mu_sim_run(struct mu_sim *sim)
{
    enum mu_status status = mu_scheduler_run(&sim->scheduler, sim->log);
    mu_event_log_line(&sim->events, "simulation", "ends: %s", mu_status_name(status));
    if (!sim->events.file)
        return status;
    bool written = fflush(sim->events.file) == 0 && !ferror(sim->events.file);
    if (written || status != MU_OK)
        return status;
    return mu_fail(sim->log, MU_E0605, NULL, "events.log could not be written");
}
