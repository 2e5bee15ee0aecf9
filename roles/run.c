/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/run.h"
#include "collectives/mpi.h"
#include "roles/checkpoint/go_on.h"
#include "roles/report/status_keeper.h"
#include "roles/report/task_log.h"
#include "roles/run_dir.h"
#include "runtime/base/console.h"
#include "runtime/base/log_quiet.h"
#include "runtime/io/real_world.h"
#include "runtime/io/signals.h"
#include "watch/notify.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One task in the real world, from its request to its end. */
struct real_task {
    const struct mu_run_request *request;
    const struct mu_job *job;
    struct mu_real_world real;
    struct mu_task_log log;
    struct mu_run_dir dir;
    struct mu_task_data data;
    struct mu_progress_display display;
    struct mu_status_keeper *status; /* of the leader */
    struct mu_spec exchanged;        /* under mpirun without a spec */
    const struct mu_spec *spec;
    int inherited_fd;
    bool log_waits; /* for it to join: until then the directory may be another run's */
    int64_t newest_before;
    struct mu_go_on go_on;
};

#define FAST_DEAD_NS (800 * MU_MS)
#define LEADER_NS (500 * MU_MS) /* more than it takes to write a summary */

int64_t mu_run_dead_ns(enum mu_failure_detection detection)
{
    return detection == MU_DETECT_FAST ? FAST_DEAD_NS : mu_task_timeouts_default.dead_ns;
}

/* ---- who we are ---- */

static enum mu_status exchange_addresses(struct real_task *task)
{
    struct mu_mpi_place place;
    int counts[MU_ROLE_COUNT], wanted = 0;
    memcpy(counts, task->request->cluster.counts, sizeof(counts));
    MU_TRY(mu_mpi_exchange(&task->log.log, task->request->start_timeout_ns, &place));
    for (int i = 0; i < MU_ROLE_COUNT; i++)
        wanted += counts[i];
    if (wanted == 0)
        counts[MU_ROLE_WORKER] = wanted = place.count;
    enum mu_status status =
        wanted == place.count
            ? mu_spec_from_exchange(
                  &task->log.log, &task->request->cluster, counts, place.address, &task->exchanged)
            : mu_fail(&task->log.log, MU_E0110, "make the two numbers equal",
                  "--roles names %d tasks, and mpirun started %d", wanted, place.count);
    task->inherited_fd = place.listen_fd;
    place.listen_fd = -1;
    mu_mpi_place_finish(&place);
    task->spec = &task->exchanged;
    return status;
}

/* A socket that a launcher has bound for us. */
static int inherited_socket(void)
{
    const char *text = getenv("MUSTER_LISTEN_FD");
    int64_t fd;
    return text && mu_text_to_int64(text, &fd) && fd > 2 && fd < 1024 ? (int)fd : -1;
}

static void warn_of_strangers(struct real_task *task)
{
    const struct mu_spec *spec = task->spec;
    for (int i = 0; i < spec->task_count && spec->self == spec->leader; i++) {
        if (!spec->task[i].address.host[0] || mu_address_is_loopback(&spec->task[i].address))
            continue;
        mu_say(&task->log.log, MU_LEVEL_WARN,
            "peers are not authenticated yet: whoever reaches the ports of this cluster can take "
            "part; use it on a network you trust");
        return;
    }
}

/* ---- preparing ---- */

/* A run that has the directory is that of this task's own leader, or another one, in whose logs
 * nothing of this task belongs. Until it has joined, that is open. Launchers look by themselves. */
static bool is_maybe_of_others(const struct real_task *task)
{
    struct mu_log quiet = mu_log_quiet();
    return task->spec->self != task->spec->leader && !getenv("MUSTER_LAUNCHED") &&
           mu_run_lock_check(&quiet, task->dir.path) != MU_OK;
}

static enum mu_status open_log(struct real_task *task)
{
    char path[2300];
    const struct mu_task *self = &task->spec->task[task->spec->self];
    mu_format(path, sizeof(path), "%s/logs/%s-%d.log", task->dir.path, mu_role_name(self->role),
        self->index);
    MU_TRY(mu_task_log_open(&task->log, path));
    mu_format(path + strlen(path), sizeof(path) - strlen(path), " has them");
    mu_console_kept(path);
    mu_task_log_note(
        &task->log, "starts as pid %d on %s", task->real.world.process, task->real.world.host);
    return MU_OK;
}

/* Of a task that never joined: the directory may be another run's. */
static void end_log(struct real_task *task, enum mu_status status)
{
    if (task->log_waits && !is_maybe_of_others(task)) {
        enum mu_status opened = open_log(task);
        (void)opened; /* what it says is on its terminal */
    }
    mu_task_log_note(
        &task->log, "ends with exit code %d (%s)", mu_status_exit(status), mu_status_text(status));
}

static void open_display(struct real_task *task)
{
    const char *launched = getenv("MUSTER_LAUNCHED");
    if (task->spec->self != task->spec->leader || task->request->quiet)
        return;
    mu_progress_display_init(
        &task->display, STDOUT_FILENO, launched && strcmp(launched, "terminal") == 0, true);
    /* mpirun gives its ranks a terminal of its own making and mixes their lines. */
    if (mu_mpi_is_rank())
        task->display.terminal = false;
    task->log.display = &task->display;
}

/* A process is one task; what it has come to is asked where nothing is handed on. */
static struct real_task *own_task;

/* Only the leader saves, and knows without asking what there is. */
static void open_go_on(struct real_task *task)
{
    struct mu_go_on *go_on = &task->go_on;
    go_on->request = task->request;
    go_on->job = task->job;
    go_on->spec = task->spec;
    go_on->directory = task->dir.path;
    bool leads = task->spec->self == task->spec->leader;
    atomic_store(&go_on->has_cluster, leads);
    if (leads)
        atomic_store(&go_on->saved, mu_run_dir_look(task->dir.path));
    else
        go_on->look = mu_run_dir_look;
}

static enum mu_status keep_status(struct real_task *task, int64_t started_wall_ns)
{
    if (task->spec->self != task->spec->leader)
        return MU_OK;
    MU_TRY(mu_status_keeper_start(&task->real.world, &task->log.log, task->dir.path, task->job,
        task->spec, started_wall_ns, &task->status));
    struct mu_text command;
    mu_text_init(&command);
    mu_go_on_command(&task->go_on, false, &command);
    struct mu_status_page *page = mu_status_keeper_enter(task->status);
    mu_text_copy(page->command, sizeof(page->command), command.data);
    mu_status_keeper_leave(task->status, true);
    mu_text_finish(&command);
    return MU_OK;
}

static enum mu_status prepare(struct real_task *task, int64_t started_wall_ns)
{
    struct mu_world *world = &task->real.world;
    MU_TRY(mu_run_dir_open(&task->dir, &task->log.log, task->request->out_dir, task->job,
        task->spec, world, task->request->resume));
    task->log_waits = is_maybe_of_others(task);
    if (!task->log_waits)
        MU_TRY(open_log(task));
    open_go_on(task);
    MU_TRY(keep_status(task, started_wall_ns));
    open_display(task);
    warn_of_strangers(task);
    world->store = task->dir.store;
    /* Before the data are read: a short run may be over by then, and left what shows that it was.
     */
    task->newest_before = mu_task_newest(world->store);
    return mu_task_data_open(task->job, mu_task_reads_train(task->spec),
        mu_task_reads_test(task->spec), &task->log.log, &task->data);
}

/* Whoever starts the tasks by hand, each on a terminal, sees progress on the leader's alone. */
static bool is_silent_on_a_terminal(const struct real_task *task)
{
    return task->spec && !task->spec->local && task->spec->self != task->spec->leader &&
           !getenv("MUSTER_LAUNCHED") && !mu_mpi_is_rank() && isatty(STDOUT_FILENO);
}

static void say_joined(struct real_task *task)
{
    const struct mu_task *leader = &task->spec->task[task->spec->leader];
    char name[MU_TASK_NAME_MAX], address[MU_HOST_MAX + 16];
    if (!is_silent_on_a_terminal(task))
        return;
    mu_task_name(leader, name, sizeof(name));
    mu_address_format(&leader->address, address, sizeof(address));
    mu_say(&task->log.log, MU_LEVEL_INFO, "%s has joined the run; %s (%s) shows its progress",
        task->log.log.task, name, address);
}

/* Whatever else it ends with has been said. */
static void say_over(struct real_task *task, enum mu_status status)
{
    bool has_begun = atomic_load(&task->go_on.begun);
    if (has_begun && is_silent_on_a_terminal(task) && (status == MU_OK || status == MU_PREEMPTED))
        mu_say(&task->log.log, MU_LEVEL_INFO, "the run is over: %s", mu_status_text(status));
}

static void begin(void)
{
    atomic_store(&own_task->go_on.begun, true);
    mu_signals_begun(own_task->spec->task[own_task->spec->self].role != MU_ROLE_EVALUATOR);
}

static void ready(const char *status)
{
    if (own_task->log_waits) {
        own_task->log_waits = false;
        enum mu_status opened = open_log(own_task);
        (void)opened; /* said on its terminal: a run that has begun does not end for that */
    }
    if (own_task->spec->self != own_task->spec->leader)
        atomic_store(
            &own_task->go_on.has_cluster, mu_run_dir_keep_cluster(&own_task->dir, own_task->spec));
    begin();
    mu_notify_ready(status);
    say_joined(own_task);
}

/* From the loop's timer: a loop that is wedged is restarted by the service manager. */
static void beat(void *owner)
{
    (void)owner;
    mu_notify_watchdog();
}

static enum mu_status run_task(struct real_task *task, int64_t started_ns, int64_t started_wall_ns)
{
    struct mu_task_run run = {
        .world = &task->real.world,
        .log = &task->log.log,
        .spec = task->spec,
        .job = task->job,
        .data = &task->data,
        .out_dir = task->dir.path,
        .resume = task->request->resume,
        .inherited_fd = task->inherited_fd,
        .go_on = &task->go_on,
        .timeouts = mu_task_timeouts_default,
        .started_ns = started_ns,
        .started_wall_ns = started_wall_ns,
        .display = task->log.display ? &task->display : NULL,
        .status = task->status,
        .newest_before = task->newest_before,
        .launcher_kills = getenv("MUSTER_LOCAL") != NULL,
    };
    own_task = task;
    if (task->spec->local)
        begin();
    run.ready = ready;
    run.beat = beat;
    run.tell = mu_notify_status;
    run.timeouts.start_ns = task->request->start_timeout_ns;
    run.timeouts.step_ns = task->request->step_timeout_ns;
    run.timeouts.dead_ns = mu_run_dead_ns(task->request->failure_detection);
    return mu_task_run(&run);
}

static void finish(struct real_task *task)
{
    mu_task_data_close(task->job, &task->data);
    mu_run_dir_close(&task->dir);
    mu_task_log_close(&task->log);
    mu_spec_finish(&task->exchanged);
    mu_real_world_finish(&task->real);
}

/* mpirun kills all ranks as soon as two or three have ended badly, at once and not after the second
 * that it grants else: whoever ends because of another lets the leader write how the run ended, and
 * mpirun find the first who did. So does who was asked to stop: a run that waits for a server then
 * ends before that is written. */
static void let_the_leader_end(struct real_task *task, enum mu_status status)
{
    struct mu_world *world = &task->real.world;
    bool begun = atomic_load(&task->go_on.begun);
    bool for_another = status == MU_UNAVAILABLE || status == MU_PREEMPTED;
    if (begun && for_another && mu_mpi_is_rank() && task->spec->self != task->spec->leader)
        world->ops->sleep_until(world, mu_now(world) + LEADER_NS);
}

/* Before anything is made for it. */
static enum mu_status check_cluster(struct real_task *task)
{
    const struct mu_spec *spec = task->spec;
    if (spec->local)
        return MU_OK;
    return mu_job_fit_cluster(&task->log.log, task->job, spec->replica_count, spec->ps_count);
}

enum mu_status mu_run(struct mu_log *log, const struct mu_run_request *request,
    const struct mu_job *job, const struct mu_spec *spec)
{
    struct real_task task = {.request = request, .job = job, .spec = spec};
    task.log.fd = -1;
    MU_TRY(mu_real_world_init(&task.real));
    struct mu_world *world = &task.real.world;
    int64_t started_ns = mu_now(world), started_wall_ns = world->ops->wall_ns(world);
    mu_task_log_init(&task.log, world, log->level);
    task.inherited_fd = inherited_socket();
    mu_signals_before(getenv("MUSTER_LAUNCHED") || mu_mpi_is_rank());
    mu_signals_watch();
    enum mu_status status = spec ? MU_OK : exchange_addresses(&task);
    if (status == MU_OK) {
        mu_task_name(&task.spec->task[task.spec->self], task.log.log.task, MU_TASK_NAME_MAX);
        task.log.prefixed = mu_mpi_is_rank();
        status = check_cluster(&task);
    }
    if (status == MU_OK) {
        status = prepare(&task, started_wall_ns);
    }
    /* A process of its own would train one step, to save it, after it has said that it will not. */
    if (status == MU_OK && mu_signals_stop())
        status = MU_PREEMPTED;
    if (status == MU_OK)
        status = run_task(&task, started_ns, started_wall_ns);
    if (status != MU_PREEMPTED)
        mu_signals_ending();
    if (status == MU_NO_MEMORY && task.log.log.first_number == 0)
        status = mu_fail(&task.log.log, MU_E0801, "muster doctor shows the limits of this machine",
            "the job needs more memory than can be had");
    mu_console_last_words();
    end_log(&task, status);
    say_over(&task, status);
    mu_notify_stopping(mu_status_text(status));
    /* Asked to stop before there was anything to save: no state is saved, and 75 would be a lie. */
    bool dies = status == MU_PREEMPTED && !atomic_load(&task.go_on.begun);
    int signal = mu_signals_stop() ? mu_signals_stop() : SIGTERM;
    mu_status_keeper_stop(task.status, dies ? 128 + signal : mu_status_exit(status));
    let_the_leader_end(&task, status);
    finish(&task);
    if (dies) {
        mu_console_close();
        mu_signals_die();
    }
    return status;
}
