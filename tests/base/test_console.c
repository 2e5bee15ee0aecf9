/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/console.h"
#include "tests/support/test.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIPE_BYTES 4096 /* the least that Linux grants */

/* stdout and stderr of this process are the same pipe while a test runs. */
static struct {
    int reader, writer;
    int kept_out, kept_err;
    char got[1 << 17];
} rig;

static void become(int reader, int writer)
{
    rig.reader = reader;
    rig.writer = writer;
    dup2(writer, STDOUT_FILENO);
    dup2(writer, STDERR_FILENO);
    mu_console_open();
    mu_console_kept("chief-0.log has them");
}

static int setup(void **state)
{
    int ends[2];
    (void)state;
    rig.kept_out = dup(STDOUT_FILENO);
    rig.kept_err = dup(STDERR_FILENO);
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) != PIPE_BYTES)
        return -1;
    become(ends[0], ends[1]);
    return 0;
}

/* What was written since; "" when that is nothing. */
static const char *take(void)
{
    size_t bytes = 0;
    ssize_t got = 0;
    fcntl(rig.reader, F_SETFL, O_NONBLOCK);
    while ((got = read(rig.reader, rig.got + bytes, sizeof(rig.got) - 1 - bytes)) > 0)
        bytes += (size_t)got;
    rig.got[bytes] = '\0';
    return rig.got;
}

static int teardown(void **state)
{
    (void)state;
    take();
    mu_console_close();
    dup2(rig.kept_out, STDOUT_FILENO);
    dup2(rig.kept_err, STDERR_FILENO);
    close(rig.kept_out);
    close(rig.kept_err);
    close(rig.reader);
    close(rig.writer);
    return 0;
}

/* To the last byte: a few would find room behind others. */
static void fill(void)
{
    static const char dots[PIPE_BYTES];
    int flags = fcntl(rig.writer, F_GETFL);
    fcntl(rig.writer, F_SETFL, flags | O_NONBLOCK);
    while (write(rig.writer, dots, sizeof(dots)) > 0 || write(rig.writer, dots, 1) > 0)
        ;
    fcntl(rig.writer, F_SETFL, flags);
}

static void say(const char *text)
{
    mu_console_write(STDOUT_FILENO, MU_CONSOLE_LINES, text, strlen(text));
}

static void complain(const char *text)
{
    mu_console_write(STDERR_FILENO, MU_CONSOLE_LINES, text, strlen(text));
}

static void lines_that_find_no_room_are_counted(void **state)
{
    (void)state;
    say("one\n");
    assert_string_equal(take(), "one\n");
    fill();
    say("two\n");
    complain("three\nfour\n");
    take();
    say("five\n");
    say("six\n");
    assert_string_equal(take(), "[3 lines were not shown here; chief-0.log has them]\nfive\nsix\n");
    fill();
    say("seven\n");
    take();
    mu_console_kept("");
    complain("eight\n");
    assert_string_equal(take(), "[1 line was not shown here]\neight\n");
}

static void progress_is_not_missed(void **state)
{
    (void)state;
    fill();
    mu_console_write(STDOUT_FILENO, MU_CONSOLE_PROGRESS, "step 1\n", 7);
    take();
    mu_console_write(STDOUT_FILENO, MU_CONSOLE_PROGRESS, "step 2\n", 7);
    assert_string_equal(take(), "step 2\n");
}

static void what_is_missing_is_told_before_progress(void **state)
{
    (void)state;
    fill();
    say("one\n");
    take();
    mu_console_write(STDOUT_FILENO, MU_CONSOLE_PROGRESS, "step 2\r", 7);
    assert_string_equal(take(), "[1 line was not shown here; chief-0.log has them]\nstep 2\r");
}

/* A line of 6000 bytes does not fit: what is left of it comes before anything else does. */
static void no_line_ends_in_its_middle(void **state)
{
    static char line[6001];
    (void)state;
    memset(line, 'x', sizeof(line) - 2);
    line[sizeof(line) - 2] = '\n';
    say(line);
    say("lost\n");
    complain("lost too\n");
    assert_int_equal(strlen(take()), PIPE_BYTES);
    complain("here again\n");
    const char *rest = take();
    assert_int_equal(strspn(rest, "x"), 6000 - 1 - PIPE_BYTES);
    assert_string_equal(rest + strspn(rest, "x"),
        "\n[2 lines were not shown here; chief-0.log has them]\nhere again\n");
}

/* More than the pipe takes at once: whole lines of it are shown, whole lines are missing. */
static void many_lines_at_once_are_cut_between_lines(void **state)
{
    static char text[10 * 2040 + 1];
    (void)state;
    memset(text, 'y', sizeof(text) - 1);
    for (size_t i = 1; i <= 10; i++)
        text[i * 2040 - 1] = '\n';
    say(text);
    assert_int_equal(strlen(take()), 2 * 2040);
    say("more\n");
    assert_string_equal(take(), "[8 lines were not shown here; chief-0.log has them]\nmore\n");
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void only_the_first_line_is_worth_a_wait(void **state)
{
    (void)state;
    fill();
    int64_t began_ms = now_ms();
    say("first\n");
    assert_true(now_ms() - began_ms >= MU_CONSOLE_PATIENCE_MS);
    began_ms = now_ms();
    for (int i = 0; i < 1000; i++)
        say("another\n");
    assert_true(now_ms() - began_ms < 10 * MU_CONSOLE_PATIENCE_MS);
}

/* It takes a line after each wait: then every line would wait, and training with it. */
static void a_slow_reader_costs_little(void **state)
{
    (void)state;
    int64_t waited_ms = 0;
    for (int i = 0; i < 20; i++) {
        fill();
        int64_t began_ms = now_ms();
        say("lost\n");
        waited_ms += now_ms() - began_ms;
        take();
        say("shown\n");
    }
    assert_true(waited_ms >= MU_CONSOLE_PATIENCE_MS);
    assert_true(waited_ms < 10 * MU_CONSOLE_PATIENCE_MS);
}

static void a_handler_never_waits(void **state)
{
    (void)state;
    mu_console_write_now(STDERR_FILENO, "shown\n", 6);
    assert_string_equal(take(), "shown\n");
    fill();
    int64_t began_ms = now_ms();
    for (int i = 0; i < 1000; i++)
        mu_console_write_now(STDERR_FILENO, "lost\n", 5);
    assert_true(now_ms() - began_ms < 10 * MU_CONSOLE_PATIENCE_MS);
    assert_null(strstr(take(), "lost"));
}

/* They are shared with the shell. */
static void the_flags_of_the_descriptors_stay(void **state)
{
    (void)state;
    assert_int_equal(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

static void *read_late(void *unused)
{
    char piece[PIPE_BYTES];
    (void)unused;
    ssize_t got = read(rig.reader, piece, sizeof(piece));
    (void)got;
    return NULL;
}

static void last_words_are_worth_a_wait(void **state)
{
    pthread_t thread;
    (void)state;
    fill();
    say("lost\n");
    mu_console_last_words();
    assert_int_equal(pthread_create(&thread, NULL, read_late, NULL), 0);
    complain("the end\n");
    pthread_join(thread, NULL);
    assert_string_equal(take(), "[1 line was not shown here; chief-0.log has them]\nthe end\n");
}

static void what_is_missing_is_told_when_it_is_closed(void **state)
{
    (void)state;
    fill();
    say("lost\n");
    take();
    mu_console_close();
    assert_string_equal(take(), "[1 line was not shown here; chief-0.log has them]\n");
    say("once more\n"); /* as if it had never been open */
    assert_string_equal(take(), "once more\n");
}

/* As systemd gives them; and no error, for a socket cannot be opened anew. */
static void a_socket_is_not_waited_for_either(void **state)
{
    int ends[2], bytes = PIPE_BYTES;
    (void)state;
    mu_console_close();
    close(rig.reader);
    close(rig.writer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    become(ends[0], ends[1]);
    fill();
    say("lost\n");
    take();
    say("shown\n");
    assert_string_equal(take(), "[1 line was not shown here; chief-0.log has them]\nshown\n");
}

static void who_reads_no_more_is_not_missed(void **state)
{
    (void)state;
    close(rig.reader);
    rig.reader = open("/dev/null", O_RDONLY);
    say("to nobody\n");
    mu_console_write_now(STDERR_FILENO, "to nobody\n", 10);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_that_find_no_room_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_is_not_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_told_before_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(no_line_ends_in_its_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(many_lines_at_once_are_cut_between_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_first_line_is_worth_a_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_costs_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_handler_never_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(the_flags_of_the_descriptors_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words_are_worth_a_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_told_when_it_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_socket_is_not_waited_for_either, setup, teardown),
        cmocka_unit_test_setup_teardown(who_reads_no_more_is_not_missed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
