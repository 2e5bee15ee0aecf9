/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_crew.h"
#include "roles/launch/local_child.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SILENT_MS_MAX 300000 /* that a rank may take for what it is told */
#define START_MS_MAX 60000   /* that a command may take until its ranks call */
#define POLL_MS 100
#define ENDED_MS_MAX 3000 /* between the end of a connection and that of its process */
#define ENDED_POLL_MS 5
#define NAME_BYTES 64
#define GUESS_SHARE 0.2 /* of the budget, that a first guess must have taken to be believed */

#define HELP_AGAIN "run it again; `muster doctor` shows what is here"
#define HELP_KILLED "run it again; `dmesg -T | grep -i oom` shows whether the kernel killed it"
#define HELP_SAID "what it said is above; `muster doctor` shows what is here"
#define HELP_SILENT "state T in `ps -eo pid,stat,args | grep bench` means that it is stopped"

void mu_bench_crew_init(
    struct mu_bench_crew *crew, struct mu_log *log, const char *name, const char *member, int count)
{
    *crew = (struct mu_bench_crew){
        .log = log, .name = name, .member = member, .count = count, .listen_fd = -1};
    assert(count <= MU_BENCH_RANKS_MAX);
}

void mu_bench_crew_finish(struct mu_bench_crew *crew)
{
    for (int rank = 0; rank < crew->count; rank++)
        if (crew->stream[rank])
            fclose(crew->stream[rank]);
    if (crew->listen_fd >= 0)
        close(crew->listen_fd);
    for (int i = 0; i < crew->count; i++) {
        if (crew->child[i] <= 0 || crew->ended[i])
            continue;
        if (crew->failed) /* the others may be waiting for the one that failed */
            kill(crew->child[i], crew->folder[0] ? SIGTERM : SIGKILL);
        waitpid(crew->child[i], NULL, 0);
    }
    if (crew->folder[0]) {
        unlink(crew->socket);
        rmdir(crew->folder);
    }
    mu_bench_crew_init(crew, crew->log, crew->name, crew->member, 0);
}

static enum mu_status take_stream(struct mu_bench_crew *crew, int rank, int fd)
{
    crew->stream[rank] = fdopen(fd, "r");
    if (!crew->stream[rank])
        return mu_fail(crew->log, MU_E0801, NULL, "no memory for the ranks of %s", crew->name);
    setvbuf(crew->stream[rank], NULL, _IONBF, 0); /* what there is to read, poll sees */
    return MU_OK;
}

/* ---- who has ended ---- */

static bool is_command(const struct mu_bench_crew *crew)
{
    return crew->folder[0] != '\0';
}

/* "muster worker 1 (pid 77)"; those that a command has started call in any order. */
static const char *name_of(const struct mu_bench_crew *crew, int place, char out[NAME_BYTES])
{
    if (!is_command(crew))
        mu_format(out, NAME_BYTES, "%s %s %d (pid %d)", crew->name, crew->member, place,
            (int)crew->child[place]);
    else if (crew->met)
        mu_format(out, NAME_BYTES, "%s %s %d", crew->name, crew->member, place);
    else
        mu_format(out, NAME_BYTES, "a %s of %s", crew->member, crew->name);
    return out;
}

static bool has_ended(struct mu_bench_crew *crew, int place)
{
    if (crew->child[place] > 0 && !crew->ended[place])
        crew->ended[place] =
            waitpid(crew->child[place], &crew->wait_status[place], WNOHANG) == crew->child[place];
    return crew->ended[place];
}

/* -1: nobody. */
static int find_killed(struct mu_bench_crew *crew)
{
    for (int i = 0; i < crew->count; i++)
        if (has_ended(crew, i) && WIFSIGNALED(crew->wait_status[i]))
            return i;
    return -1;
}

static enum mu_status fail_ended(struct mu_bench_crew *crew, int place)
{
    const struct mu_local_child child = {.wait_status = crew->wait_status[place]};
    char how[128], name[NAME_BYTES];
    mu_local_child_describe(&child, how, sizeof(how));
    if (is_command(crew))
        mu_format(
            name, sizeof(name), "the command of %s (pid %d)", crew->name, (int)crew->child[place]);
    else
        name_of(crew, place, name);
    return mu_fail(crew->log, MU_E0401, WIFSIGNALED(child.wait_status) ? HELP_KILLED : HELP_SAID,
        "%s ended with %s", name, how);
}

static bool somebody_is_killed(struct mu_bench_crew *crew, enum mu_status *ret_status)
{
    struct mu_bench_crew *const crews[] = {crew, crew->beside};
    for (int i = 0; i < (int)MU_COUNT_OF(crews) && crews[i]; i++) {
        int place = find_killed(crews[i]);
        if (place < 0)
            continue;
        *ret_status = fail_ended(crews[i], place);
        return true;
    }
    return false;
}

/* Whoever is killed closes the connections of others, who may be the first to say so: the one that
 * was killed is named. The connections of a process end a little before itself. */
static bool somebody_was_killed(struct mu_bench_crew *crew, enum mu_status *ret_status)
{
    for (int waited_ms = 0; waited_ms < ENDED_MS_MAX; waited_ms += ENDED_POLL_MS) {
        if (somebody_is_killed(crew, ret_status))
            return true;
        poll(NULL, 0, ENDED_POLL_MS);
    }
    return false;
}

/* Its stream is at an end. */
static enum mu_status fail_gone(struct mu_bench_crew *crew, int place)
{
    char name[NAME_BYTES];
    enum mu_status status;
    if (somebody_was_killed(crew, &status))
        return status;
    if (has_ended(crew, is_command(crew) ? 0 : place))
        return fail_ended(crew, is_command(crew) ? 0 : place);
    return mu_fail(crew->log, MU_E0401, HELP_SAID, "%s has ended", name_of(crew, place, name));
}

/* It has said why it cannot go on. */
static enum mu_status fail_said(struct mu_bench_crew *crew, int place, const char *why)
{
    char name[NAME_BYTES];
    enum mu_status status;
    if (somebody_was_killed(crew, &status))
        return status;
    if (is_command(crew) && has_ended(crew, 0))
        return fail_ended(crew, 0);
    return mu_fail(crew->log, MU_E0403, HELP_AGAIN, "%s: %s", name_of(crew, place, name), why);
}

/* ---- starting ---- */

/* A child's end: it has nothing of its siblings, and does not outlive the lead. */
static void become_rank(struct mu_bench_crew *crew)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int rank = 0; rank < crew->count; rank++) {
        if (crew->stream[rank])
            fclose(crew->stream[rank]);
        crew->stream[rank] = NULL;
        crew->child[rank] = 0;
    }
}

enum mu_status mu_bench_crew_fork(struct mu_bench_crew *crew, int *ret_rank, int *ret_fd)
{
    *ret_rank = -1;
    for (int rank = 0; rank < crew->count; rank++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            return mu_fail(crew->log, MU_E0803, NULL, "no socket for %s %d: %s", crew->member, rank,
                strerror(errno));
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            close(pair[0]);
            become_rank(crew);
            *ret_rank = rank;
            *ret_fd = pair[1];
            return MU_OK;
        }
        close(pair[1]);
        if (child < 0) {
            close(pair[0]);
            return mu_fail(crew->log, MU_E0803, NULL, "no process for %s %d: %s", crew->member,
                rank, strerror(errno));
        }
        crew->child[rank] = child;
        MU_TRY(take_stream(crew, rank, pair[0]));
    }
    return MU_OK;
}

enum mu_status mu_bench_crew_listen(struct mu_bench_crew *crew)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *base = getenv("TMPDIR");
    /* Addresses of sockets are short. */
    bool fits = base && strlen(base) < sizeof(crew->folder) - sizeof("/muster-bench-XXXXXX");
    mu_format(crew->folder, sizeof(crew->folder), "%s/muster-bench-XXXXXX", fits ? base : "/tmp");
    if (!mkdtemp(crew->folder)) {
        enum mu_status status = mu_fail(
            crew->log, MU_E0604, NULL, "%s cannot be made: %s", crew->folder, strerror(errno));
        crew->folder[0] = '\0';
        return status;
    }
    mu_format(crew->socket, sizeof(crew->socket), "%s/lead", crew->folder);
    mu_text_copy(at.sun_path, sizeof(at.sun_path), crew->socket);
    crew->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (crew->listen_fd >= 0 &&
        bind(crew->listen_fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
        listen(crew->listen_fd, crew->count) == 0)
        return MU_OK;
    return mu_fail(
        crew->log, MU_E0605, NULL, "cannot listen at %s: %s", crew->socket, strerror(errno));
}

/* One stream, not yet known whose. */
static enum mu_status accept_one(struct mu_bench_crew *crew, int place)
{
    struct pollfd poll_fd = {.fd = crew->listen_fd, .events = POLLIN};
    for (int waited_ms = 0; waited_ms < START_MS_MAX; waited_ms += POLL_MS) {
        if (poll(&poll_fd, 1, POLL_MS) > 0) {
            int fd = accept4(crew->listen_fd, NULL, NULL, SOCK_CLOEXEC);
            return fd >= 0 ? take_stream(crew, place, fd)
                           : mu_fail(crew->log, MU_E0605, NULL, "accept: %s", strerror(errno));
        }
        if (has_ended(crew, 0))
            return mu_fail(crew->log, MU_E0802, HELP_SAID, "%s ended before its ranks had started",
                crew->name);
    }
    return mu_fail(crew->log, MU_E0301, HELP_SAID, "%d of %d ranks of %s have started", place,
        crew->count, crew->name);
}

enum mu_status mu_bench_crew_command(struct mu_bench_crew *crew, char *const argv[])
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return mu_fail(
            crew->log, MU_E0803, NULL, "no process for %s: %s", crew->name, strerror(errno));
    if (child == 0) {
        /* SIGTERM: mpirun then ends its ranks. What it prints is not ours to show. */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (!freopen("/dev/null", "r", stdin))
            _exit(127);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    crew->child[0] = child;
    crew->failed = true; /* until all have come */
    for (int place = 0; place < crew->count; place++)
        MU_TRY(accept_one(crew, place));
    crew->failed = false;
    return MU_OK;
}

/* ---- talking ---- */

/* Until it speaks or is gone. It may wait long for another, who was killed. */
static enum mu_status await(struct mu_bench_crew *crew, int rank)
{
    struct pollfd poll_fd = {.fd = fileno(crew->stream[rank]), .events = POLLIN};
    char name[NAME_BYTES];
    enum mu_status status;
    for (int waited_ms = 0; waited_ms < SILENT_MS_MAX; waited_ms += POLL_MS) {
        if (poll(&poll_fd, 1, POLL_MS) > 0)
            return MU_OK;
        if (somebody_is_killed(crew, &status))
            return status;
    }
    return mu_fail(crew->log, MU_E0401, HELP_SILENT, "%s is silent", name_of(crew, rank, name));
}

/* A line from a rank, without its end. */
static enum mu_status hear(struct mu_bench_crew *crew, int rank, char line[MU_BENCH_LINE_MAX])
{
    crew->failed = true; /* until it has spoken */
    MU_TRY(await(crew, rank));
    if (!fgets(line, MU_BENCH_LINE_MAX, crew->stream[rank]))
        return fail_gone(crew, rank);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "cannot ", 7) == 0)
        return mu_fail(crew->log, MU_E0001, "without --algorithm each size gets the best that can",
            "%s", line + 7);
    if (strncmp(line, "failed ", 7) == 0)
        return fail_said(crew, rank, line + 7);
    crew->failed = false;
    return MU_OK;
}

/* The reply must begin with `expected`; the rest of it is *ret_rest, in `line`. */
static enum mu_status hear_reply(struct mu_bench_crew *crew, int rank, const char *expected,
    char line[MU_BENCH_LINE_MAX], const char **ret_rest)
{
    size_t bytes = strlen(expected);
    char name[NAME_BYTES];
    MU_TRY(hear(crew, rank, line));
    if (strncmp(line, expected, bytes) != 0)
        return mu_fail(crew->log, MU_E0404, NULL, "%s says `%s`", name_of(crew, rank, name), line);
    *ret_rest = line + bytes;
    return MU_OK;
}

/* Those who called have no order: sorts the streams by what they say. */
enum mu_status mu_bench_crew_meet(struct mu_bench_crew *crew)
{
    FILE *stream[MU_BENCH_RANKS_MAX] = {0};
    for (int place = 0; place < crew->count; place++) {
        char line[MU_BENCH_LINE_MAX];
        const char *rest = NULL;
        int64_t rank;
        MU_TRY(hear_reply(crew, place, "rank ", line, &rest));
        if (!mu_text_to_int64(rest, &rank) || rank < 0 || rank >= crew->count || stream[rank])
            return mu_fail(
                crew->log, MU_E0404, NULL, "%s: there is no rank `%s`", crew->name, rest);
        stream[rank] = crew->stream[place];
    }
    memcpy(crew->stream, stream, sizeof(stream));
    crew->met = true;
    return MU_OK;
}

/* One that has ended must not end us with a SIGPIPE. */
static enum mu_status tell(struct mu_bench_crew *crew, const char *line)
{
    char text[MU_BENCH_LINE_MAX + 1];
    ssize_t bytes = snprintf(text, sizeof(text), "%s\n", line);
    for (int rank = 0; rank < crew->count; rank++)
        if (send(fileno(crew->stream[rank]), text, (size_t)bytes, MSG_NOSIGNAL) != bytes) {
            crew->failed = true;
            return fail_gone(crew, rank);
        }
    return MU_OK;
}

enum mu_status mu_bench_crew_do(struct mu_bench_crew *crew, const char *format, ...)
{
    char line[MU_BENCH_LINE_MAX];
    const char *rest = NULL;
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    MU_TRY(tell(crew, line));
    for (int rank = 0; rank < crew->count; rank++) {
        MU_TRY(hear_reply(crew, rank, "ready", line, &rest));
        if (rank == 0 && rest[0] == ' ')
            mu_text_copy(crew->algorithm, sizeof(crew->algorithm), rest + 1);
    }
    return MU_OK;
}

enum mu_status mu_bench_crew_batch(struct mu_bench_crew *crew, int operations, double *ret_us)
{
    char line[MU_BENCH_LINE_MAX], name[NAME_BYTES];
    const char *rest = NULL;
    int64_t ns, slowest_ns = 0;
    mu_format(line, sizeof(line), "batch %d", operations);
    MU_TRY(tell(crew, line));
    for (int rank = 0; rank < crew->count; rank++) {
        MU_TRY(hear_reply(crew, rank, "took ", line, &rest));
        if (!mu_text_to_int64(rest, &ns) || ns <= 0)
            return mu_fail(
                crew->log, MU_E0404, NULL, "%s says `%s`", name_of(crew, rank, name), line);
        slowest_ns = ns > slowest_ns ? ns : slowest_ns;
    }
    *ret_us = (double)slowest_ns / 1e3 / operations;
    return MU_OK;
}

enum mu_status mu_bench_crew_find(
    struct mu_bench_crew *crew, double budget_us, int operations_max, int *ret_operations)
{
    double us = 0;
    int operations = 1;
    MU_TRY(mu_bench_crew_batch(crew, operations, &us));
    while (us * operations < GUESS_SHARE * budget_us && operations < operations_max) {
        operations = operations * 4 < operations_max ? operations * 4 : operations_max;
        MU_TRY(mu_bench_crew_batch(crew, operations, &us));
    }
    double wanted = budget_us / us;
    *ret_operations = wanted < 1 ? 1 : wanted > operations_max ? operations_max : (int)wanted;
    return MU_OK;
}

/* ---- what benches share besides ---- */

enum mu_status mu_bench_bind_ports(
    struct mu_log *log, int count, int listen_fd[], struct mu_address address[])
{
    for (int i = 0; i < count; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof(at);
        listen_fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listen_fd[i] < 0 || bind(listen_fd[i], (const struct sockaddr *)&at, sizeof(at)) != 0 ||
            getsockname(listen_fd[i], (struct sockaddr *)&at, &bytes) != 0)
            return mu_fail(log, MU_E0303, NULL, "no port on 127.0.0.1: %s", strerror(errno));
        address[i] = (struct mu_address){.host = "127.0.0.1", .port = ntohs(at.sin_port)};
    }
    return MU_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double mu_bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
