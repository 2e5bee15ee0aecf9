/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The local launcher as its own process (local_driver), with tasks that do as they are told
 * (fake_task). A task that has said `ready` holds the write end of `alive`: when that pipe is at
 * its end, every task is gone. */
#define WAIT_MS 20000
#define WORDS_MAX 16

static const char *driver_path, *fake_path;

struct launch {
    pid_t pid;
    int output, alive;
    char text[1 << 16];
    size_t bytes;
};

static void launch_on(struct launch *launch, int output, const char *grace_ms, const char *counts,
    const char *const words[])
{
    int alive[2];
    char alive_word[16];
    const char *argv[WORDS_MAX] = {driver_path, fake_path, grace_ms, counts, alive_word};
    int count = 5;
    assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
    int theirs = fcntl(alive[1], F_DUPFD, 20);
    snprintf(alive_word, sizeof(alive_word), "alive=%d", theirs);
    for (; *words; words++)
        argv[count++] = *words;
    launch->pid = fork();
    if (launch->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        union {
            const char **in;
            char **out;
        } arguments = {.in = argv};
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        execv(driver_path, arguments.out);
        _exit(127);
    }
    close(alive[1]);
    close(theirs);
    close(output);
    launch->alive = alive[0];
}

static void launch_with(
    struct launch *launch, const char *grace_ms, const char *counts, const char *const words[])
{
    int both[2];
    *launch = (struct launch){0};
    assert_int_equal(pipe2(both, O_CLOEXEC), 0);
    launch->output = both[0];
    launch_on(launch, both[1], grace_ms, counts, words);
}

/* Reads what comes within the time; false at the end (a pty ends with EIO). */
static bool read_some(int fd, struct launch *launch)
{
    struct pollfd in = {.fd = fd, .events = POLLIN};
    if (poll(&in, 1, WAIT_MS) != 1)
        fail_msg("nothing came in %d ms; so far:\n%s", WAIT_MS, launch->text);
    ssize_t got = read(fd, launch->text + launch->bytes, sizeof(launch->text) - 1 - launch->bytes);
    if (got > 0)
        launch->bytes += (size_t)got;
    return got > 0;
}

static void await_text(struct launch *launch, const char *needle)
{
    while (!strstr(launch->text, needle))
        if (!read_some(launch->output, launch))
            fail_msg("expected \"%s\" in:\n%s", needle, launch->text);
}

/* Until so many tasks have said `ready`. */
static void await_ready(struct launch *launch, int count)
{
    struct launch said = {0};
    int lines = 0;
    while (lines < count) {
        if (!read_some(launch->alive, &said))
            fail_msg("%d of %d tasks came", lines, count);
        lines = 0;
        for (const char *at = said.text; *at; at++)
            lines += *at == '\n';
    }
}

static void await_all_gone(struct launch *launch)
{
    struct launch said = {0};
    while (read_some(launch->alive, &said))
        continue;
}

/* The exit code, as a shell would see it; all output has been read and every task is gone. */
static int finish(struct launch *launch)
{
    int status;
    while (read_some(launch->output, launch))
        continue;
    await_all_gone(launch);
    close(launch->output);
    close(launch->alive);
    assert_int_equal(waitpid(launch->pid, &status, 0), launch->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* As announced in "started chief/0 pid 12, worker/0 pid 13". */
static pid_t pid_of(struct launch *launch, const char *name)
{
    char words[64];
    snprintf(words, sizeof(words), "%s pid ", name);
    await_text(launch, words);
    return atoi(strstr(launch->text, words) + strlen(words));
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define assert_shown(launch, needle)                                                               \
    do {                                                                                           \
        if (!strstr((launch)->text, needle))                                                       \
            fail_msg("expected \"%s\" in:\n%s", needle, (launch)->text);                           \
    } while (0)
#define assert_not_shown(launch, needle)                                                           \
    do {                                                                                           \
        if (strstr((launch)->text, needle))                                                        \
            fail_msg("did not expect \"%s\" in:\n%s", needle, (launch)->text);                     \
    } while (0)

static void every_line_bears_the_name_of_its_task(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=2,ps=1,evaluator=1",
        WORDS("chief/0=print:alpha,print:beta,exit:0", "worker/0=print:gamma",
            "worker/1=print:delta", "ps/0=print:epsilon", "evaluator/0=print:zeta"));
    assert_int_equal(finish(&launch), 0);
    assert_shown(&launch, "[chief/0] alpha\n");
    assert_shown(&launch, "[chief/0] beta\n");
    assert_shown(&launch, "[worker/0] gamma\n");
    assert_shown(&launch, "[worker/1] delta\n");
    assert_shown(&launch, "[ps/0] epsilon\n");
    assert_shown(&launch, "[evaluator/0] zeta\n");
    assert_shown(&launch, "[muster] started chief/0 pid ");
    assert_not_shown(&launch, "first to fail");
}

static void a_partial_line_waits_for_its_rest_and_is_shown_at_the_end(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1",
        WORDS("chief/0=part:one ,gone:worker/0,part:two,exit:0",
            "worker/0=meet,print:between,exit:0"));
    assert_int_equal(finish(&launch), 0);
    assert_shown(&launch, "[chief/0] one two\n");
    assert_shown(&launch, "[worker/0] between\n");
}

static void tasks_learn_who_they_are_from_tf_config_alone(void **state)
{
    struct launch launch;
    setenv("SLURM_PROCID", "7", 1);
    setenv("MUSTER_TASK", "worker/9", 1);
    setenv("KEPT_VARIABLE", "kept", 1);
    launch_with(&launch, "0", "worker=1",
        WORDS("worker/0=env:SLURM_PROCID,env:MUSTER_TASK,env:KEPT_VARIABLE,env:MUSTER_LISTEN_FD,"
              "env:MUSTER_LAUNCHED"));
    unsetenv("SLURM_PROCID");
    unsetenv("MUSTER_TASK");
    assert_int_equal(finish(&launch), 0);
    assert_shown(&launch, "] SLURM_PROCID=\n");
    assert_shown(&launch, "] MUSTER_TASK=\n");
    assert_shown(&launch, "] KEPT_VARIABLE=kept\n");
    assert_shown(&launch, "] MUSTER_LISTEN_FD=3\n");
    assert_shown(&launch, "] MUSTER_LAUNCHED=pipe\n");
}

static void a_failure_for_good_stops_the_others_and_is_the_exit_code(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=2",
        WORDS("chief/0=ready,greet:worker/1,save,exit:75",
            "worker/0=ready,greet:worker/1,save,exit:69",
            "worker/1=meet,meet,error:no such file,exit:66"));
    assert_int_equal(finish(&launch), 66);
    assert_shown(&launch, "error: worker/1 was the first to fail\n");
    assert_shown(&launch, "exit code 66 (an input is missing)");
    assert_shown(&launch, "error[E0501]: no such file\n");
    assert_not_shown(&launch, "  log "); /* a fake task writes none */
    assert_shown(&launch, "others chief/0 75, worker/0 69");
}

static int times_shown(const struct launch *launch, const char *needle)
{
    int times = 0;
    for (const char *at = launch->text; (at = strstr(at, needle)); at++)
        times++;
    return times;
}

static void what_all_survivors_say_is_shown_once_and_its_help_too(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=3",
        WORDS("chief/0=gone:worker/2,died:worker/2,print:after,meet,meet,exit:69",
            "worker/0=greet:chief/0,died:worker/2,print:mine,exit:69",
            "worker/1=greet:chief/0,died:worker/1,exit:69", "worker/2=meet,kill:9"));
    assert_int_equal(finish(&launch), 128 + SIGKILL);
    assert_int_equal(times_shown(&launch, "] error[E0401]: worker/2 died: "), 1);
    assert_int_equal(times_shown(&launch, "] error[E0401]: worker/1 died: "), 1);
    assert_int_equal(times_shown(&launch, "]   = help: resume\n"), 2);
    assert_shown(&launch, "] after\n");
    assert_shown(&launch, "[worker/0] mine\n");
}

static void a_task_that_a_signal_ended_is_left_to_the_survivors(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1",
        WORDS("chief/0=gone:worker/0,print:trained on,exit:0", "worker/0=meet,kill:9"));
    assert_int_equal(finish(&launch), 128 + SIGKILL);
    assert_shown(&launch, "[chief/0] trained on\n");
    assert_shown(&launch, "worker/0 was the first to fail");
    assert_shown(&launch, "signal 9 (SIGKILL)");
    assert_not_shown(&launch, "others are stopped");
}

static void a_survivor_that_gives_up_is_not_the_cause(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1",
        WORDS("chief/0=gone:worker/0,exit:69", "worker/0=meet,kill:6"));
    assert_int_equal(finish(&launch), 128 + SIGABRT);
    assert_shown(&launch, "worker/0 was the first to fail");
    assert_shown(&launch, "SIGABRT");
    assert_shown(&launch, "others chief/0 69");
}

static void a_real_time_signal_has_a_number_for_a_name(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,evaluator=1",
        WORDS("chief/0=gone:evaluator/0,kill:35", "evaluator/0=meet,kill:34"));
    assert_int_equal(finish(&launch), 128 + 35);
    assert_shown(&launch, "chief/0 ended with signal 35 (SIG35)");
    assert_shown(&launch, "others evaluator/0 SIG34\n");
}

static void a_server_that_was_told_of_an_end_before_it_was_seen_is_not_the_second(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,ps=3",
        WORDS("chief/0=ready,save,exit:69", "ps/0=meet,kill:9", "ps/1=wait",
            "ps/2=gone:ps/0,exit:69"));
    await_ready(&launch, 1); /* or SIGTERM ends it before it listens */
    await_text(&launch, "ps/2 ended with");
    await_text(&launch, "ps/0 ended with"); /* in either order */
    kill(pid_of(&launch, "ps/1"), SIGKILL);
    await_text(&launch, "ps/1 ended with");
    kill(pid_of(&launch, "chief/0"), SIGTERM);
    assert_int_equal(finish(&launch), 128 + SIGKILL);
    assert_shown(
        &launch, "ps/0 ended with signal 9 (SIGKILL): ps/1 has what it had and takes over\n");
    assert_shown(&launch, "ps/1 ended with signal 9 (SIGKILL): no standby is left, for it is the "
                          "server number 2 that ended\n");
}

static void retry_comes_before_preempted(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1", WORDS("chief/0=exit:75", "worker/0=exit:69"));
    assert_int_equal(finish(&launch), 69);
}

static void the_evaluators_failure_is_told_and_changes_nothing(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,evaluator=1",
        WORDS("chief/0=gone:evaluator/0,exit:0", "evaluator/0=meet,error:no test set,exit:66"));
    assert_int_equal(finish(&launch), 0);
    assert_shown(&launch, "warning: the evaluator failed; training did not depend on it");
    assert_shown(&launch, "error[E0501]: no test set");
    assert_not_shown(&launch, "first to fail");
}

static void an_interrupt_asks_every_task_to_save(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1,ps=1",
        WORDS("chief/0=ready,save,print:saved,exit:75", "worker/0=ready,save,exit:75",
            "ps/0=ready,save,exit:75"));
    await_ready(&launch, 3);
    kill(launch.pid, SIGINT);
    assert_int_equal(finish(&launch), 75);
    assert_shown(&launch, "SIGINT: every task is asked to save");
    assert_shown(&launch, "[chief/0] saved\n");
    assert_not_shown(&launch, "first to fail");
}

/* A chief that does not stop and this worker, interrupted once; `awaited` is shown then. */
static void interrupt_two(struct launch *launch, const char *worker, const char *awaited)
{
    launch_with(launch, "0", "chief=1,worker=1", WORDS("chief/0=ignore,ready,wait", worker));
    await_ready(launch, 2);
    kill(launch->pid, SIGINT);
    await_text(launch, awaited);
}

static void a_second_interrupt_kills(void **state)
{
    struct launch launch;
    interrupt_two(&launch, "worker/0=ignore,ready,wait", "SIGINT: every task is asked");
    kill(launch.pid, SIGTERM);
    assert_int_equal(finish(&launch), 128 + SIGINT);
    assert_shown(&launch, "SIGTERM again: every task is killed");
}

static void after_a_second_interrupt_nobody_is_the_cause(void **state)
{
    struct launch launch;
    interrupt_two(&launch, "worker/0=ready,save,exit:69", "worker/0 ended with exit code 69");
    kill(launch.pid, SIGINT);
    assert_int_equal(finish(&launch), 128 + SIGINT);
    assert_not_shown(&launch, "first to fail");
}

static void a_task_that_does_not_stop_is_killed_after_the_grace(void **state)
{
    struct launch launch;
    launch_with(&launch, "50", "chief=1,worker=1",
        WORDS("chief/0=ignore,ready,wait", "worker/0=ready,save,exit:75"));
    await_ready(&launch, 2);
    kill(launch.pid, SIGTERM);
    assert_int_equal(finish(&launch), 128 + SIGTERM);
    assert_shown(&launch, "chief/0 has not stopped in 50 ms: killed; what it had not saved is "
                          "lost, and the same command with --resume goes on");
}

static void no_task_outlives_a_launcher_that_is_killed(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=2,ps=1",
        WORDS("chief/0=ignore,ready,wait", "worker/0=ignore,ready,wait",
            "worker/1=ignore,ready,wait", "ps/0=ignore,ready,wait"));
    await_ready(&launch, 4);
    kill(launch.pid, SIGKILL);
    await_all_gone(&launch);
    assert_int_equal(finish(&launch), 128 + SIGKILL);
}

static void a_server_may_not_stay_when_training_has_failed(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,ps=1,evaluator=1",
        WORDS("chief/0=exit:69", "ps/0=wait", "evaluator/0=wait"));
    assert_int_equal(finish(&launch), 69);
}

static void one_that_is_stopped_when_training_is_over_is_waited_for_like_a_survivor(void **state)
{
    static const char *const words[] = {
        "evaluator/0=greet:chief/0,kill:19,wait", /* before */
        "evaluator/0=gone:chief/0,kill:19,wait",  /* while the launcher waits for it */
    };
    for (size_t i = 0; i < MU_COUNT_OF(words); i++) {
        struct launch launch;
        launch_with(&launch, "0", "chief=1,evaluator=1", WORDS("chief/0=meet,exit:0", words[i]));
        assert_int_equal(finish(&launch), 0);
        assert_shown(&launch, "training is over: waiting for evaluator/0, which is stopped (");
        assert_shown(&launch, "evaluator/0 is stopped (state T) and the run is over: killed");
    }
}

static void a_stopped_task_is_seen(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "chief=1,worker=1",
        WORDS("chief/0=ready,save,exit:75", "worker/0=kill:19,save,exit:75"));
    await_text(&launch, "worker/0 is stopped (state T)");
    await_ready(&launch, 1);
    kill(launch.pid, SIGTERM);
    assert_int_equal(finish(&launch), 75);
}

/* A terminal: the leader's \r lines are one line at the bottom, redrawn under every other line. */
static void progress_is_one_line_at_the_bottom_of_a_terminal(void **state)
{
    struct launch launch = {0};
    struct winsize size = {.ws_col = 20, .ws_row = 24};
    launch.output = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(launch.output >= 0 && grantpt(launch.output) == 0 && unlockpt(launch.output) == 0);
    int terminal = open(ptsname(launch.output), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    launch_on(&launch, terminal, "0", "chief=1,worker=1",
        WORDS(
            "chief/0=env:MUSTER_LAUNCHED,progress:step 1 of many and many more,ready,save,exit:75",
            "worker/0=ready,save,exit:75"));
    unsetenv("NO_COLOR");
    await_text(&launch, "[chief/0] MUSTER_LAUNCHED=terminal\r\n");
    await_text(&launch, "step 1 of many and ");
    await_ready(&launch, 2);
    kill(pid_of(&launch, "worker/0"), SIGSTOP);
    await_text(&launch, "\r\033[K[muster] worker/0 is stopped (state T)\r\nstep 1 of many and ");
    kill(launch.pid, SIGTERM);
    assert_int_equal(finish(&launch), 75);
    assert_not_shown(&launch, "many more");
    assert_not_shown(&launch, "\033[36m");
}

static void too_many_tasks_are_refused(void **state)
{
    struct launch launch;
    launch_with(&launch, "0", "worker=257", WORDS("worker/0=exit:0"));
    assert_int_equal(finish(&launch), 64);
    assert_shown(&launch, "at most 256");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    driver_path = argv[1];
    fake_path = argv[2];
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_bears_the_name_of_its_task),
        cmocka_unit_test(a_partial_line_waits_for_its_rest_and_is_shown_at_the_end),
        cmocka_unit_test(tasks_learn_who_they_are_from_tf_config_alone),
        cmocka_unit_test(a_failure_for_good_stops_the_others_and_is_the_exit_code),
        cmocka_unit_test(what_all_survivors_say_is_shown_once_and_its_help_too),
        cmocka_unit_test(a_task_that_a_signal_ended_is_left_to_the_survivors),
        cmocka_unit_test(a_survivor_that_gives_up_is_not_the_cause),
        cmocka_unit_test(a_real_time_signal_has_a_number_for_a_name),
        cmocka_unit_test(a_server_that_was_told_of_an_end_before_it_was_seen_is_not_the_second),
        cmocka_unit_test(retry_comes_before_preempted),
        cmocka_unit_test(the_evaluators_failure_is_told_and_changes_nothing),
        cmocka_unit_test(an_interrupt_asks_every_task_to_save),
        cmocka_unit_test(a_second_interrupt_kills),
        cmocka_unit_test(after_a_second_interrupt_nobody_is_the_cause),
        cmocka_unit_test(a_task_that_does_not_stop_is_killed_after_the_grace),
        cmocka_unit_test(no_task_outlives_a_launcher_that_is_killed),
        cmocka_unit_test(a_server_may_not_stay_when_training_has_failed),
        cmocka_unit_test(one_that_is_stopped_when_training_is_over_is_waited_for_like_a_survivor),
        cmocka_unit_test(a_stopped_task_is_seen),
        cmocka_unit_test(progress_is_one_line_at_the_bottom_of_a_terminal),
        cmocka_unit_test(too_many_tasks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
