/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ranks that exchange_rank plays, under the mpirun of this machine. */
#define WAIT_MS 60000
#define RANKS "5"

static const char *mpirun_path, *rank_path;

struct job {
    pid_t pid;
    int output; /* of mpirun, which passes on that of its ranks */
    char text[1 << 16];
    size_t bytes;
};

static void job_start(struct job *job, const char *action, const char *argument)
{
    int both[2];
    const char *words[] = {mpirun_path, "-n", RANKS, rank_path, action, argument, NULL};
    union {
        const char **in;
        char **out;
    } argv = {.in = words};
    *job = (struct job){0};
    assert_int_equal(pipe2(both, O_CLOEXEC), 0);
    job->pid = fork();
    if (job->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(both[1], STDOUT_FILENO);
        dup2(both[1], STDERR_FILENO);
        execv(mpirun_path, argv.out);
        _exit(127);
    }
    close(both[1]);
    job->output = both[0];
}

static bool job_read(struct job *job)
{
    struct pollfd in = {.fd = job->output, .events = POLLIN};
    if (poll(&in, 1, WAIT_MS) != 1)
        fail_msg("nothing came in %d ms; so far:\n%s", WAIT_MS, job->text);
    ssize_t got = read(job->output, job->text + job->bytes, sizeof(job->text) - 1 - job->bytes);
    if (got > 0)
        job->bytes += (size_t)got;
    return got > 0;
}

static int job_finish(struct job *job)
{
    int status;
    while (job_read(job))
        continue;
    close(job->output);
    assert_int_equal(waitpid(job->pid, &status, 0), job->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int count_of(const struct job *job, const char *needle)
{
    int count = 0;
    for (const char *at = job->text; (at = strstr(at, needle)); at++)
        count++;
    return count;
}

static void await_count(struct job *job, const char *needle, int count)
{
    while (count_of(job, needle) < count)
        if (!job_read(job))
            fail_msg("expected %d times \"%s\" in:\n%s", count, needle, job->text);
}

static void every_rank_reaches_the_next(void **state)
{
    struct job job;
    char line[64];
    job_start(&job, "meet", NULL);
    assert_int_equal(job_finish(&job), 0);
    for (int rank = 0; rank < 5; rank++) {
        snprintf(line, sizeof(line), "rank %d of 5 heard %d\n", rank, (rank + 4) % 5);
        if (!strstr(job.text, line))
            fail_msg("expected \"%s\" in:\n%s", line, job.text);
    }
}

static void the_exit_code_of_a_rank_is_mpiruns(void **state)
{
    struct job job;
    job_start(&job, "exit", "66");
    assert_int_equal(job_finish(&job), 66);
}

static void a_signal_that_ends_a_rank_is_mpiruns_exit_code(void **state)
{
    struct job job;
    job_start(&job, "kill", NULL);
    assert_int_equal(job_finish(&job), 128 + SIGKILL);
}

/* The pipe of the output ends when the last rank has closed it. */
static void no_rank_outlives_an_mpirun_that_is_killed(void **state)
{
    struct job job;
    job_start(&job, "wait", NULL);
    await_count(&job, "waits\n", 5);
    kill(job.pid, SIGKILL);
    assert_int_equal(job_finish(&job), 128 + SIGKILL);
}

static void a_rank_that_does_not_come_is_named(void **state)
{
    struct job job;
    job_start(&job, "absent", NULL);
    assert_int_equal(job_finish(&job), 69);
    if (!strstr(job.text, "not all 5 ranks came within 200 ms; missing: rank 1\n"))
        fail_msg("the reason is not in:\n%s", job.text);
}

static void without_a_launcher_the_exchange_says_so(void **state)
{
    int both[2], status;
    char text[1024] = "";
    assert_int_equal(pipe2(both, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(both[1], STDERR_FILENO);
        unsetenv("PMIX_RANK");
        execl(rank_path, rank_path, "meet", (char *)NULL);
        _exit(127);
    }
    close(both[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(both[0], text, sizeof(text) - 1) > 0);
    close(both[0]);
    assert_int_equal(WEXITSTATUS(status), 78);
    assert_non_null(strstr(text, "error[E0101]"));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    mpirun_path = argv[1];
    rank_path = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_reaches_the_next),
        cmocka_unit_test(the_exit_code_of_a_rank_is_mpiruns),
        cmocka_unit_test(a_signal_that_ends_a_rank_is_mpiruns_exit_code),
        cmocka_unit_test(no_rank_outlives_an_mpirun_that_is_killed),
        cmocka_unit_test(a_rank_that_does_not_come_is_named),
        cmocka_unit_test(without_a_launcher_the_exchange_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
