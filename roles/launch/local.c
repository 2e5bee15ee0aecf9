/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/launch/local_inside.h"

#include "roles/launch/local_report.h"
#include "roles/run_dir.h"
#include "runtime/base/console.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * These six files (local.c, local_again.c, local_child.c, local_linger.c, local_output.c,
 * local_report.c) are the only ones of roles/ outside the world seam: fork, exec, pipes and signals
 * are what they are about, there is nothing to simulate, and no task's code runs in this process.
 * One thread, one poll:
 *
 *   signalfd ---- SIGCHLD ------------> reap: who ended, how, does it stop the others?
 *            `--- SIGINT, TERM, HUP --> ask all to stop; the second time kill
 *   pipes ------- lines --------------> output
 *   the clock --- a task is overdue --> SIGTERM, later SIGKILL
 */
extern char **environ;

int64_t mu_local_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * MU_SECOND + now.tv_nsec;
}

static int64_t grace_ns(const struct mu_local *launcher)
{
    int grace_ms = launcher->request->grace_ms;
    return (grace_ms > 0 ? grace_ms : MU_LOCAL_GRACE_MS) * MU_MS;
}

/* ---- stopping ---- */

static void ask_to_stop(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns)
{
    mu_local_child_signal(child, SIGTERM);
    child->due_ns = mu_deadline(now_ns, grace_ns(launcher));
}

static void kill_child(struct mu_local *launcher, struct mu_local_child *child)
{
    mu_local_child_signal(child, SIGKILL);
    child->due_ns = MU_FOREVER;
    launcher->killed = true;
}

static void stop_all(struct mu_local *launcher, int64_t now_ns)
{
    if (launcher->stopping)
        return;
    launcher->stopping = true;
    for (int i = 0; i < launcher->count; i++)
        if (launcher->children[i].state != MU_LOCAL_ENDED)
            ask_to_stop(launcher, &launcher->children[i], now_ns);
}

static void kill_all(struct mu_local *launcher)
{
    launcher->stopping = true;
    for (int i = 0; i < launcher->count; i++)
        if (launcher->children[i].state != MU_LOCAL_ENDED)
            kill_child(launcher, &launcher->children[i]);
}

static void on_overdue(struct mu_local *launcher, struct mu_local_child *child, int64_t now_ns)
{
    char text[32];
    if (mu_local_again_replace(launcher, child))
        return;
    if (child->state == MU_LOCAL_STOPPED) {
        child->was_stopped = true;
        /* It cannot hear a request. */
        mu_local_output_say(
            &launcher->output, "%s is stopped (state T) and the run is over: killed", child->name);
        kill_child(launcher, child);
    } else if (child->sent) {
        mu_text_duration(text, sizeof(text), grace_ns(launcher));
        mu_local_output_say(&launcher->output, "%s has not stopped in %s: killed%s", child->name,
            text,
            child == &launcher->children[launcher->leader]
                ? "; what it had not saved is lost, and the same command with --resume goes on "
                  "from the last checkpoint"
                : "");
        kill_child(launcher, child);
    } else {
        mu_local_output_say(
            &launcher->output, "%s is still there after training has ended: stopped", child->name);
        ask_to_stop(launcher, child, now_ns);
    }
}

static void on_user_signal(struct mu_local *launcher, int signal, int64_t now_ns)
{
    const char *name = sigabbrev_np(signal);
    if (launcher->user_signal) {
        mu_local_output_say(&launcher->output, "SIG%s again: every task is killed", name);
        launcher->insisted = true;
        kill_all(launcher);
        return;
    }
    launcher->user_signal = signal;
    launcher->user_signal_ns = now_ns;
    mu_local_output_say(&launcher->output,
        "SIG%s: every task is asked to save its state and stop (once more kills them)", name);
    stop_all(launcher, now_ns);
}

/* ---- what happens to a child ---- */

/* Once the last replica has ended nothing is trained any more: servers should go soon, and the
 * evaluator may finish what it is at, if there is a result worth evaluating. */
static void check_linger(struct mu_local *launcher, int64_t now_ns)
{
    bool succeeded = false;
    for (int i = 0; i < launcher->count; i++) {
        const struct mu_local_child *child = &launcher->children[i];
        if (!mu_local_is_replica(child))
            continue;
        if (child->state != MU_LOCAL_ENDED)
            return;
        succeeded = succeeded || mu_local_child_code(child) == 0;
    }
    if (launcher->lingering)
        return;
    launcher->lingering = true;
    if (!succeeded) {
        stop_all(launcher, now_ns);
        return;
    }
    mu_local_linger_begin(launcher, now_ns);
}

/* A task is lost, and a run does not go on without one: the survivors end by themselves, each
 * with the reason. Who cannot is stopped after a while. */
static void await_survivors(struct mu_local *launcher, int64_t now_ns)
{
    int64_t due_ns = mu_deadline(now_ns, MU_LOCAL_SURVIVORS_MS * MU_MS);
    for (int i = 0; i < launcher->count; i++) {
        struct mu_local_child *child = &launcher->children[i];
        if (child->state != MU_LOCAL_ENDED && due_ns < child->due_ns)
            child->due_ns = due_ns;
    }
}

/* Whoever is stopped when the first survivor gives up is why; once we have sent a signal it goes
 * on, ends like the survivors, and nothing of that is to be seen any more. */
static void note_stopped(struct mu_local *launcher, const struct mu_local_child *ended)
{
    if (launcher->stopping || mu_local_child_code(ended) != mu_status_exit(MU_UNAVAILABLE))
        return;
    for (int i = 0; i < launcher->count; i++)
        if (launcher->children[i].state == MU_LOCAL_STOPPED)
            launcher->children[i].was_stopped = true;
}

static void on_end(struct mu_local *launcher, int index, int64_t now_ns)
{
    struct mu_local_child *child = &launcher->children[index];
    char how[128], then[200];
    if (child->output_fd >= 0)
        (void)mu_local_output_take(&launcher->output, child, index, index == launcher->leader);
    mu_local_output_end(&launcher->output, child, index);
    mu_local_child_close(child);
    if (index == launcher->leader)
        launcher->output.progress[0] = 0;
    if (mu_local_again_plan(launcher, child, now_ns))
        return;
    mu_local_child_describe(child, how, sizeof(how));
    note_stopped(launcher, child);
    bool stops = mu_local_report_is_final(child) && !launcher->stopping;
    mu_local_again_consequence(launcher, child, then, sizeof(then));
    if (mu_local_child_code(child) != 0)
        mu_local_output_say(&launcher->output, "%s ended with %s%s", child->name, how,
            stops ? ": the others are stopped" : then);
    if (stops)
        stop_all(launcher, now_ns);
    else if (child->role != MU_ROLE_EVALUATOR && !mu_local_again_awaited(launcher, child) &&
             mu_local_child_code(child) != 0 && mu_local_child_code(child) != 75)
        await_survivors(launcher, now_ns);
}

static void reap(struct mu_local *launcher)
{
    int64_t now_ns = mu_local_clock_ns(CLOCK_MONOTONIC),
            wall_ns = mu_local_clock_ns(CLOCK_REALTIME);
    for (int i = 0; i < launcher->count; i++) {
        struct mu_local_child *child = &launcher->children[i];
        if (!mu_local_child_reap(child, now_ns, wall_ns))
            continue;
        if (child->state == MU_LOCAL_ENDED) {
            on_end(launcher, i, now_ns);
            continue;
        }
        mu_local_output_say(&launcher->output, "%s %s", child->name,
            child->state == MU_LOCAL_STOPPED ? "is stopped (state T)" : "goes on");
        mu_local_again_watch(launcher, child, now_ns);
        mu_local_linger_watch(launcher, child, now_ns);
    }
    check_linger(launcher, now_ns);
}

/* ---- the loop ---- */

static bool is_over(const struct mu_local *launcher)
{
    for (int i = 0; i < launcher->count; i++)
        if (launcher->children[i].state != MU_LOCAL_ENDED || launcher->children[i].again_ns > 0)
            return false;
    return true;
}

static int next_wait_ms(const struct mu_local *launcher, int64_t now_ns)
{
    int64_t due_ns = launcher->say_linger_ns > 0 ? launcher->say_linger_ns : MU_FOREVER;
    for (int i = 0; i < launcher->count; i++) {
        const struct mu_local_child *child = &launcher->children[i];
        if (child->state != MU_LOCAL_ENDED && child->due_ns < due_ns)
            due_ns = child->due_ns;
        if (child->again_ns > 0 && child->again_ns < due_ns)
            due_ns = child->again_ns;
    }
    if (due_ns == MU_FOREVER)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / MU_MS) + 1;
}

static void take_signals(struct mu_local *launcher)
{
    struct signalfd_siginfo info;
    while (read(launcher->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            on_user_signal(launcher, (int)info.ssi_signo, mu_local_clock_ns(CLOCK_MONOTONIC));
    reap(launcher);
}

static void take_output(struct mu_local *launcher)
{
    for (int i = 0; i < launcher->count; i++) {
        struct mu_local_child *child = &launcher->children[i];
        if (!launcher->polls[i].revents || child->output_fd < 0)
            continue;
        if (mu_local_output_take(&launcher->output, child, i, i == launcher->leader))
            continue;
        close(child->output_fd);
        child->output_fd = -1;
    }
}

static void check_overdue(struct mu_local *launcher)
{
    int64_t now_ns = mu_local_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < launcher->count; i++) {
        struct mu_local_child *child = &launcher->children[i];
        if (child->state != MU_LOCAL_ENDED && child->due_ns <= now_ns)
            on_overdue(launcher, child, now_ns);
    }
    mu_local_linger_say(launcher, now_ns);
}

static void loop(struct mu_local *launcher)
{
    struct pollfd *signals = &launcher->polls[launcher->count];
    *signals = (struct pollfd){.fd = launcher->signal_fd, .events = POLLIN};
    while (!is_over(launcher)) {
        for (int i = 0; i < launcher->count; i++)
            launcher->polls[i] =
                (struct pollfd){.fd = launcher->children[i].output_fd, .events = POLLIN};
        int wait_ms = next_wait_ms(launcher, mu_local_clock_ns(CLOCK_MONOTONIC));
        int ready = poll(launcher->polls, (nfds_t)launcher->count + 1, wait_ms);
        /* What was written before an end is read before it: output first. */
        if (ready > 0)
            take_output(launcher);
        if (ready > 0 && signals->revents)
            take_signals(launcher);
        check_overdue(launcher);
        mu_local_again_check(launcher);
        mu_local_output_flush(&launcher->output);
    }
}

/* ---- the start ---- */

static void announce(struct mu_local *launcher)
{
    struct mu_text line;
    mu_text_init(&line);
    for (int i = 0; i < launcher->count; i++)
        mu_text_add(&line, "%s%s pid %d", i ? ", " : "", launcher->children[i].name,
            (int)launcher->children[i].pid);
    if (!launcher->request->quiet)
        mu_local_output_say(&launcher->output, "started %s", line.data);
    mu_local_output_flush(&launcher->output);
    mu_text_finish(&line);
}

enum mu_status mu_local_start_task(struct mu_local *launcher, int index,
    enum mu_status (*start)(struct mu_log *log, const struct mu_local_start *start,
        const char *tf_config, struct mu_local_child *child))
{
    struct mu_text tf_config;
    mu_text_init(&tf_config);
    mu_spec_write_tf_config(&launcher->spec, index, &tf_config);
    enum mu_status status = tf_config.failed ? MU_NO_MEMORY
                                             : start(launcher->log, &launcher->start,
                                                   tf_config.data, &launcher->children[index]);
    mu_text_finish(&tf_config);
    return status;
}

static enum mu_status start_tasks(struct mu_local *launcher)
{
    for (int i = 0; i < launcher->count; i++)
        MU_TRY(mu_local_start_task(launcher, i, mu_local_child_start));
    return MU_OK;
}

/* exec of /proc/self/exe would show as `exe` in ps and top; the path behind it has a name. */
static const char *find_program(const struct mu_local_request *request, char *path, size_t bytes)
{
    static const char self[] = "/proc/self/exe";
    if (request->program)
        return request->program;
    ssize_t got = readlink(self, path, bytes - 1);
    if (got <= 0)
        return self;
    path[got] = 0;
    return access(path, X_OK) == 0 ? path : self;
}

static enum mu_status start_all(struct mu_local *launcher)
{
    launcher->environment =
        mu_local_child_environment(environ, launcher->output.terminal, launcher->output.columns);
    if (!launcher->environment)
        return mu_fail(launcher->log, MU_E0801, NULL, "no memory to start the tasks");
    launcher->start = (struct mu_local_start){
        .program = find_program(launcher->request, launcher->program, sizeof(launcher->program)),
        .argv = launcher->request->argv,
        .environment = launcher->environment,
        .launcher = getpid()};
    return start_tasks(launcher);
}

/* Binds a port for every task, so that all of them are known before the first is started. */
static enum mu_status make_spec(struct mu_local *launcher)
{
    struct mu_spec *spec = &launcher->spec;
    int ports[MU_LOCAL_TASKS_MAX];
    for (int i = 0; i < launcher->count; i++) {
        MU_TRY(mu_local_child_listen(launcher->log, &launcher->children[i]));
        ports[i] = launcher->children[i].port;
    }
    MU_TRY(mu_spec_make(launcher->log, launcher->request->counts, "127.0.0.1", ports, spec));
    assert(spec->task_count == launcher->count);
    for (int i = 0; i < launcher->count; i++) {
        mu_task_name(&spec->task[i], launcher->children[i].name, MU_TASK_NAME_MAX);
        launcher->children[i].role = spec->task[i].role;
    }
    launcher->leader = spec->leader;
    return MU_OK;
}

static enum mu_status launcher_init(struct mu_local *launcher, struct mu_log *log,
    const struct mu_local_request *request, const sigset_t *signals)
{
    int count = 0;
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        count += request->counts[role];
    *launcher = (struct mu_local){.log = log,
        .request = request,
        .signal_fd = -1,
        .started_ns = mu_local_clock_ns(CLOCK_MONOTONIC)};
    mu_local_output_init(&launcher->output, STDOUT_FILENO);
    if (count > MU_LOCAL_TASKS_MAX)
        return mu_fail(log, MU_E0001, NULL, "%d tasks are too many for one machine: at most %d",
            count, MU_LOCAL_TASKS_MAX);
    launcher->children = calloc((size_t)count, sizeof(*launcher->children));
    launcher->polls = calloc((size_t)count + 1, sizeof(*launcher->polls));
    launcher->signal_fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (!launcher->children || !launcher->polls || launcher->signal_fd < 0)
        return mu_fail(log, MU_E0801, NULL, "cannot start %d tasks: %s", count, strerror(errno));
    launcher->count = count;
    /* Ended is what a child is that has not been started. */
    for (int i = 0; i < count; i++) {
        launcher->children[i].listen_fd = launcher->children[i].output_fd = -1;
        launcher->children[i].state = MU_LOCAL_ENDED;
        launcher->children[i].due_ns = MU_FOREVER;
    }
    return MU_OK;
}

static void launcher_finish(struct mu_local *launcher)
{
    for (int i = 0; i < launcher->count; i++)
        mu_local_child_close(&launcher->children[i]);
    if (launcher->signal_fd >= 0)
        close(launcher->signal_fd);
    mu_local_output_finish(&launcher->output);
    mu_local_child_environment_free(launcher->environment);
    mu_spec_finish(&launcher->spec);
    free(launcher->children);
    free(launcher->polls);
}

/* ---- the end ---- */

static int report(struct mu_local *launcher)
{
    struct mu_text text;
    struct mu_local_outcome outcome = {.children = launcher->children,
        .count = launcher->count,
        .user_signal = launcher->user_signal,
        .user_signal_ns = launcher->user_signal_ns,
        .insisted = launcher->insisted,
        .killed = launcher->killed,
        .servers_may_die = launcher->request->ps_restarts > 0 || launcher->request->has_standbys,
        .has_standbys = launcher->request->has_standbys,
        .out_dir = launcher->request->out_dir,
        .started_ns = launcher->started_ns};
    mu_console_last_words();
    mu_local_output_clear(&launcher->output);
    mu_text_init(&text);
    mu_local_report_write(&outcome, &text);
    int code = mu_local_report_code(&outcome);
    /* The log puts `warning: ` before warnings. */
    if (text.bytes > 0)
        mu_say(launcher->log, code ? MU_LEVEL_ERROR : MU_LEVEL_WARN, "%s%s", code ? "error: " : "",
            text.data);
    mu_text_finish(&text);
    return code;
}

static int run(struct mu_local *launcher)
{
    enum mu_status status = make_spec(launcher);
    if (status == MU_OK)
        status = start_all(launcher);
    if (status == MU_OK)
        announce(launcher);
    else
        kill_all(launcher);
    loop(launcher);
    return status == MU_OK ? report(launcher) : mu_status_exit(status);
}

/* The launcher has no log of its own: what matters of what it says, the tasks have said. */
static void tell_where_logs_are(const struct mu_local_request *request)
{
    char where[MU_RUN_DIR_PATH_MAX + 40];
    if (!request->out_dir)
        return;
    mu_format(where, sizeof(where), "the logs of the tasks are in %s/logs", request->out_dir);
    mu_console_kept(where);
}

int mu_local_run(struct mu_log *log, const struct mu_local_request *request)
{
    struct mu_local launcher;
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    /* Whoever reads our output may leave; the tasks train on. */
    void (*on_pipe)(int) = signal(SIGPIPE, SIG_IGN);
    enum mu_status status = launcher_init(&launcher, log, request, &signals);
    if (status == MU_OK)
        tell_where_logs_are(request);
    int code = status == MU_OK ? run(&launcher) : mu_status_exit(status);
    launcher_finish(&launcher);
    signal(SIGPIPE, on_pipe);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}
