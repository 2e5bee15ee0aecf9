/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_crew.h"
#include <errno.h>
#include <fcntl.h>
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

#define SILENT_SECONDS_MAX 300 /* that a rank may take for what it is told */
#define START_MS_MAX 60000     /* that a command may take until its ranks call */
#define POLL_MS 100
#define GUESS_SHARE 0.2 /* of the budget, that a first guess must have taken to be believed */

void mu_bench_crew_init(struct mu_bench_crew *crew, struct mu_log *log, const char *name, int count)
{
    *crew = (struct mu_bench_crew){.log = log, .name = name, .count = count, .listen_fd = -1};
    assert(count <= MU_BENCH_RANKS_MAX);
}

void mu_bench_crew_finish(struct mu_bench_crew *crew)
{
    for (int rank = 0; rank < crew->count; rank++) {
        if (crew->in[rank])
            fclose(crew->in[rank]);
        if (crew->out[rank])
            fclose(crew->out[rank]);
    }
    if (crew->listen_fd >= 0)
        close(crew->listen_fd);
    for (int i = 0; i < crew->count; i++) {
        if (crew->child[i] <= 0)
            continue;
        if (crew->failed) /* the others may be waiting for the one that failed */
            kill(crew->child[i], crew->folder[0] ? SIGTERM : SIGKILL);
        waitpid(crew->child[i], NULL, 0);
    }
    if (crew->folder[0]) {
        unlink(crew->socket);
        rmdir(crew->folder);
    }
    mu_bench_crew_init(crew, crew->log, crew->name, 0);
}

static enum mu_status take_stream(struct mu_bench_crew *crew, int rank, int fd)
{
    const struct timeval most = {.tv_sec = SILENT_SECONDS_MAX};
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    crew->in[rank] = fdopen(fd, "r");
    crew->out[rank] = other >= 0 ? fdopen(other, "w") : NULL;
    if (crew->in[rank] && crew->out[rank])
        return MU_OK;
    return mu_fail(crew->log, MU_E0801, NULL, "no memory for the ranks of %s", crew->name);
}

/* ---- starting ---- */

/* A child's end: it has nothing of its siblings, and does not outlive the lead. */
static void become_rank(struct mu_bench_crew *crew)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int rank = 0; rank < crew->count; rank++) {
        if (crew->in[rank])
            fclose(crew->in[rank]);
        if (crew->out[rank])
            fclose(crew->out[rank]);
        crew->in[rank] = crew->out[rank] = NULL;
        crew->child[rank] = 0;
    }
}

enum mu_status mu_bench_crew_fork(struct mu_bench_crew *crew, int *ret_rank, int *ret_fd)
{
    *ret_rank = -1;
    for (int rank = 0; rank < crew->count; rank++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            return mu_fail(
                crew->log, MU_E0803, NULL, "no socket for rank %d: %s", rank, strerror(errno));
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
            return mu_fail(
                crew->log, MU_E0803, NULL, "no process for rank %d: %s", rank, strerror(errno));
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

static bool has_ended(struct mu_bench_crew *crew)
{
    if (waitpid(crew->child[0], NULL, WNOHANG) != crew->child[0])
        return false;
    crew->child[0] = 0;
    return true;
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
        if (has_ended(crew))
            return mu_fail(
                crew->log, MU_E0802, NULL, "%s ended before its ranks had started", crew->name);
    }
    return mu_fail(crew->log, MU_E0301, NULL, "%d of %d ranks of %s have started", place,
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

/* A line from a rank, without its end. */
static enum mu_status hear(struct mu_bench_crew *crew, int rank, char line[MU_BENCH_LINE_MAX])
{
    errno = 0;
    crew->failed = true; /* until it has spoken */
    if (!fgets(line, MU_BENCH_LINE_MAX, crew->in[rank]))
        return mu_fail(crew->log, MU_E0401, NULL, "%s: rank %d %s", crew->name, rank,
            errno == EAGAIN ? "is silent" : "has ended");
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "cannot ", 7) == 0)
        return mu_fail(crew->log, MU_E0001, "without --algorithm each size gets the best that can",
            "%s", line + 7);
    if (strncmp(line, "failed ", 7) == 0)
        return mu_fail(crew->log, MU_E0403, NULL, "%s: rank %d: %s", crew->name, rank, line + 7);
    crew->failed = false;
    return MU_OK;
}

/* The reply must begin with `expected`; the rest of it is *ret_rest, in `line`. */
static enum mu_status hear_reply(struct mu_bench_crew *crew, int rank, const char *expected,
    char line[MU_BENCH_LINE_MAX], const char **ret_rest)
{
    size_t bytes = strlen(expected);
    MU_TRY(hear(crew, rank, line));
    if (strncmp(line, expected, bytes) != 0)
        return mu_fail(crew->log, MU_E0404, NULL, "%s: rank %d says `%s`", crew->name, rank, line);
    *ret_rest = line + bytes;
    return MU_OK;
}

/* Those who called have no order: sorts the streams by what they say. */
enum mu_status mu_bench_crew_meet(struct mu_bench_crew *crew)
{
    FILE *in[MU_BENCH_RANKS_MAX] = {0}, *out[MU_BENCH_RANKS_MAX] = {0};
    for (int place = 0; place < crew->count; place++) {
        char line[MU_BENCH_LINE_MAX];
        const char *rest = NULL;
        int64_t rank;
        MU_TRY(hear_reply(crew, place, "rank ", line, &rest));
        if (!mu_text_to_int64(rest, &rank) || rank < 0 || rank >= crew->count || in[rank])
            return mu_fail(
                crew->log, MU_E0404, NULL, "%s: there is no rank `%s`", crew->name, rest);
        in[rank] = crew->in[place];
        out[rank] = crew->out[place];
    }
    memcpy(crew->in, in, sizeof(in));
    memcpy(crew->out, out, sizeof(out));
    return MU_OK;
}

static enum mu_status tell(struct mu_bench_crew *crew, const char *line)
{
    for (int rank = 0; rank < crew->count; rank++) {
        fprintf(crew->out[rank], "%s\n", line);
        if (fflush(crew->out[rank]) != 0)
            return mu_fail(crew->log, MU_E0401, NULL, "%s: rank %d has ended", crew->name, rank);
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
    char line[MU_BENCH_LINE_MAX];
    const char *rest = NULL;
    int64_t ns, slowest_ns = 0;
    mu_format(line, sizeof(line), "batch %d", operations);
    MU_TRY(tell(crew, line));
    for (int rank = 0; rank < crew->count; rank++) {
        MU_TRY(hear_reply(crew, rank, "took ", line, &rest));
        if (!mu_text_to_int64(rest, &ns) || ns <= 0)
            return mu_fail(
                crew->log, MU_E0404, NULL, "%s: rank %d says `%s`", crew->name, rank, line);
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
