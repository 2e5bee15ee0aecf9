/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/launch/local_child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 128
/* Our descriptors start here, so that none is in the way of those that the child gets (0 to 3). */
#define FD_FIRST 10
#define ADDED_MAX 4 /* variables added to the environment, TF_CONFIG and the NULL included */

/* Variables that tell a task who it is, or that belong to the launcher alone. A name that ends in
 * `_` stands for all that begin so. */
static const char *const dropped[] = {"TF_CONFIG", "CLUSTER_SPEC", "MUSTER_CLUSTER", "MUSTER_TASK",
    "MUSTER_LISTEN_FD", "MUSTER_LAUNCHED", "COLUMNS", "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SM_HOSTS", "SM_CURRENT_HOST", "SLURM_",
    "OMPI_", "PMIX_", "PMI_", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
    "LISTEN_PID", "LISTEN_FDNAMES"};

static bool is_dropped(const char *variable)
{
    for (size_t i = 0; i < MU_COUNT_OF(dropped); i++) {
        size_t bytes = strlen(dropped[i]);
        if (strncmp(variable, dropped[i], bytes) == 0 &&
            (dropped[i][bytes - 1] == '_' || variable[bytes] == '='))
            return true;
    }
    return false;
}

void mu_local_child_environment_free(char **environment)
{
    for (char **at = environment; at && *at; at++)
        free(*at);
    free(environment);
}

static bool add_variable(char **environment, size_t *count, const char *text)
{
    environment[*count] = strdup(text);
    return environment[(*count)++] != NULL;
}

char **mu_local_child_environment(char *const *ours, bool terminal, int columns)
{
    size_t count = 0, have = 0;
    while (ours[have])
        have++;
    char **environment = calloc(have + ADDED_MAX + 1, sizeof(*environment));
    if (!environment)
        return NULL;
    char text[64];
    mu_format(text, sizeof(text), "MUSTER_LISTEN_FD=%d", MU_LOCAL_LISTEN_FD);
    bool fine = add_variable(environment, &count, text);
    mu_format(text, sizeof(text), "MUSTER_LAUNCHED=%s", terminal ? "terminal" : "pipe");
    fine = fine && add_variable(environment, &count, text);
    mu_format(text, sizeof(text), "COLUMNS=%d", columns);
    if (columns > 0)
        fine = fine && add_variable(environment, &count, text);
    for (size_t i = 0; fine && i < have; i++)
        if (!is_dropped(ours[i]))
            fine = add_variable(environment, &count, ours[i]);
    if (fine)
        return environment;
    mu_local_child_environment_free(environment);
    return NULL;
}

static int move_up(int fd)
{
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return moved;
}

enum mu_status mu_local_child_listen(struct mu_log *log, struct mu_local_child *child)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)child->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int fd = move_up(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
    /* Connections of the one before it may linger. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) != 0) {
        enum mu_status status =
            mu_fail(log, MU_E0803, "`ulimit -n` says how many files may be open",
                "cannot listen on 127.0.0.1:%d: %s", child->port, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    child->listen_fd = fd;
    child->port = ntohs(at.sin_port);
    return MU_OK;
}

/* Between fork and exec: only calls that are safe there. */
_Noreturn static void become_task(const struct mu_local_start *start,
    const struct mu_local_child *child, int output_fd, char **argv, char **environment)
{
    sigset_t none;
    /* Should the launcher be killed, so are we. It may have been killed before this line. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != start->launcher)
        _exit(69);
    /* ^C on the terminal is for the launcher, which passes on one SIGTERM. */
    setpgid(0, 0);
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(output_fd, STDOUT_FILENO) < 0 ||
        dup2(output_fd, STDERR_FILENO) < 0 || dup2(child->listen_fd, MU_LOCAL_LISTEN_FD) < 0)
        _exit(71);
    if (null_fd > MU_LOCAL_LISTEN_FD)
        close(null_fd);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(start->program, argv, environment);
    static const char reason[] = "error: the program cannot be started\n";
    ssize_t ignored = write(STDERR_FILENO, reason, sizeof(reason) - 1);
    (void)ignored;
    _exit(127);
}

/* argv and environment of one child; what they hold is borrowed, but for TF_CONFIG itself. */
struct arguments {
    char **argv, **environment;
    char *tf_config;
    char name[8];
};

static void arguments_finish(struct arguments *arguments)
{
    free(arguments->argv);
    free(arguments->environment);
    free(arguments->tf_config);
}

static bool arguments_init(
    struct arguments *arguments, const struct mu_local_start *start, const char *tf_config)
{
    size_t words = 0, variables = 0;
    while (start->argv[words])
        words++;
    while (start->environment[variables])
        variables++;
    *arguments = (struct arguments){.name = "muster"};
    arguments->argv = calloc(words + 2, sizeof(char *));
    arguments->environment = calloc(variables + 2, sizeof(char *));
    if (asprintf(&arguments->tf_config, "TF_CONFIG=%s", tf_config) < 0)
        arguments->tf_config = NULL;
    if (!arguments->argv || !arguments->environment || !arguments->tf_config) {
        arguments_finish(arguments);
        return false;
    }
    arguments->argv[0] = arguments->name;
    memcpy(arguments->argv + 1, start->argv, words * sizeof(char *));
    memcpy(arguments->environment, start->environment, variables * sizeof(char *));
    arguments->environment[variables] = arguments->tf_config;
    return true;
}

enum mu_status mu_local_child_start(struct mu_log *log, const struct mu_local_start *start,
    const char *tf_config, struct mu_local_child *child)
{
    struct arguments arguments;
    int both[2];
    if (!arguments_init(&arguments, start, tf_config))
        return mu_fail(log, MU_E0801, NULL, "no memory to start %s", child->name);
    pid_t pid = -1;
    if (pipe2(both, O_CLOEXEC) == 0) {
        int ours = move_up(both[0]), theirs = move_up(both[1]);
        if (ours >= 0 && theirs >= 0 && fcntl(ours, F_SETFL, O_NONBLOCK) == 0)
            pid = fork();
        if (pid == 0)
            become_task(start, child, theirs, arguments.argv, arguments.environment);
        int error = errno;
        if (theirs >= 0)
            close(theirs);
        if (pid < 0 && ours >= 0)
            close(ours);
        child->output_fd = pid < 0 ? -1 : ours;
        errno = error;
    }
    int error = errno;
    arguments_finish(&arguments);
    /* From here on the port lives and dies with the child. */
    close(child->listen_fd);
    child->listen_fd = -1;
    if (pid < 0)
        return mu_fail(log, MU_E0803, "`ulimit -u` and `ulimit -n` say how much there may be",
            "cannot start %s: %s", child->name, strerror(error));
    child->pid = pid;
    child->state = MU_LOCAL_RUNNING;
    return MU_OK;
}

enum mu_status mu_local_child_start_again(struct mu_log *log, const struct mu_local_start *start,
    const char *tf_config, struct mu_local_child *child)
{
    assert(child->state == MU_LOCAL_ENDED);
    MU_TRY(mu_local_child_listen(log, child));
    child->restarts++;
    child->was_stopped = child->reason_is_error = child->repeats = false;
    child->sent = 0;
    child->due_ns = MU_FOREVER; /* that was for the one before it */
    child->line_bytes = 0;
    child->reason[0] = 0;
    return mu_local_child_start(log, start, tf_config, child);
}

bool mu_local_child_reap(struct mu_local_child *child, int64_t now_ns, int64_t wall_ns)
{
    int status;
    if (child->pid <= 0 || child->state == MU_LOCAL_ENDED ||
        waitpid(child->pid, &status, WNOHANG | WUNTRACED | WCONTINUED) != child->pid)
        return false;
    if (WIFSTOPPED(status)) {
        child->state = MU_LOCAL_STOPPED;
    } else if (WIFCONTINUED(status)) {
        child->state = MU_LOCAL_RUNNING;
    } else {
        child->state = MU_LOCAL_ENDED;
        child->wait_status = status;
        child->ended_ns = now_ns;
        child->ended_wall_ns = wall_ns;
    }
    return true;
}

void mu_local_child_signal(struct mu_local_child *child, int signal)
{
    if (child->pid <= 0 || child->state == MU_LOCAL_ENDED)
        return;
    child->sent = signal;
    kill(child->pid, signal);
    /* A stopped process keeps a SIGTERM waiting. */
    if (child->state == MU_LOCAL_STOPPED)
        kill(child->pid, SIGCONT);
}

void mu_local_child_close(struct mu_local_child *child)
{
    if (child->listen_fd >= 0)
        close(child->listen_fd);
    if (child->output_fd >= 0)
        close(child->output_fd);
    child->listen_fd = child->output_fd = -1;
}

int mu_local_child_code(const struct mu_local_child *child)
{
    assert(child->state == MU_LOCAL_ENDED);
    return WIFSIGNALED(child->wait_status) ? 128 + WTERMSIG(child->wait_status)
                                           : WEXITSTATUS(child->wait_status);
}

bool mu_local_child_ended_by_us(const struct mu_local_child *child)
{
    if (!child->sent || !WIFSIGNALED(child->wait_status))
        return false;
    int signal = WTERMSIG(child->wait_status);
    return signal == SIGTERM || signal == child->sent;
}

void mu_local_child_signal_name(
    const struct mu_local_child *child, char out[MU_LOCAL_SIGNAL_NAME_MAX])
{
    int signal = WTERMSIG(child->wait_status);
    const char *name = sigabbrev_np(signal);
    if (name)
        mu_format(out, MU_LOCAL_SIGNAL_NAME_MAX, "SIG%s", name);
    else
        mu_format(out, MU_LOCAL_SIGNAL_NAME_MAX, "SIG%d", signal);
}

void mu_local_child_describe(const struct mu_local_child *child, char *out, size_t bytes)
{
    int status = child->wait_status;
    if (!WIFSIGNALED(status)) {
        int code = WEXITSTATUS(status);
        snprintf(out, bytes, "exit code %d (%s)", code, mu_status_exit_text(code));
        return;
    }
    char name[MU_LOCAL_SIGNAL_NAME_MAX];
    mu_local_child_signal_name(child, name);
    snprintf(out, bytes, "signal %d (%s)%s", WTERMSIG(status), name,
        WCOREDUMP(status) ? ", core dumped" : "");
}
