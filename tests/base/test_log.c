/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/log_quiet.h"
#include "runtime/base/text.h"
#include "test.h"
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mu_test_log said;

static int setup(void **state)
{
    (void)state;
    mu_test_log_init(&said);
    return 0;
}

static void error_has_number_text_and_help(void **state)
{
    (void)state;
    enum mu_status status =
        mu_fail(&said.log, MU_E0104, "did you mean `worker`?", "unknown task type `%s`", "workers");
    assert_int_equal(status, MU_CONFIG);
    assert_string_equal(said.text, "error[E0104]: unknown task type `workers`\n"
                                   "  = help: did you mean `worker`?\n");
}

static void error_without_help_of_its_own_has_that_of_its_row(void **state)
{
    (void)state;
    assert_int_equal(mu_fail(&said.log, MU_E0001, NULL, "wrong"), MU_USAGE);
    assert_string_equal(said.text, "error[E0001]: wrong\n"
                                   "  = help: muster --help lists the commands; "
                                   "with --help each of them lists its flags\n");
}

static void no_line_before_the_help_is_empty(void **state)
{
    (void)state;
    assert_int_equal(mu_fail(&said.log, MU_E0304, "look", "one\ntwo\n\n"), MU_PROTOCOL);
    assert_string_equal(said.text, "error[E0304]: one\ntwo\n  = help: look\n");
}

static struct mu_place place_of(const char *text, const char *what)
{
    struct mu_place place = {"$TF_CONFIG", text, strlen(text), 0, strlen(what)};
    const char *at = strstr(text, what);
    assert_non_null(at);
    place.offset = (size_t)(at - text);
    return place;
}

static void place_is_shown_with_a_caret(void **state)
{
    (void)state;
    struct mu_place place =
        place_of("{\"cluster\":{\"workers\":[\"10.0.0.1:2222\"]}}", "\"workers\"");
    assert_int_equal(mu_fail_at(&said.log, MU_E0104, &place, "expected `chief` or `worker`",
                         "did you mean `worker`?", "unknown task type `workers`"),
        MU_CONFIG);
    assert_string_equal(said.text, "error[E0104]: unknown task type `workers`\n"
                                   "  --> $TF_CONFIG:1:13\n"
                                   "   |\n"
                                   " 1 | {\"cluster\":{\"workers\":[\"10.0.0.1:2222\"]}}\n"
                                   "   |             ^^^^^^^^^ expected `chief` or `worker`\n"
                                   "   = help: did you mean `worker`?\n");
}

static void gutter_widens_with_the_line_number(void **state)
{
    (void)state;
    struct mu_place place = place_of("\n\n\n\n\n\n\n\n\n  wrong here\n", "wrong");
    (void)!mu_fail_at(&said.log, MU_E0201, &place, NULL, "look", "no");
    assert_string_equal(said.text, "error[E0201]: no\n"
                                   "   --> $TF_CONFIG:10:3\n"
                                   "    |\n"
                                   " 10 |   wrong here\n"
                                   "    |   ^^^^^\n"
                                   "    = help: look\n");
}

static void columns_count_characters_not_bytes(void **state)
{
    (void)state;
    struct mu_place place = place_of("\xc3\xa9\xe2\x82\xac wrong", "wrong");
    (void)!mu_fail_at(&said.log, MU_E0201, &place, NULL, NULL, "no");
    assert_said(&said, ":1:4\n");
    assert_said(&said, "   |    ^^^^^\n");
}

static void caret_stays_on_its_line(void **state)
{
    (void)state;
    struct mu_place place = place_of("ab {\n  x\n}", "{\n  x\n}");
    (void)!mu_fail_at(&said.log, MU_E0201, &place, NULL, NULL, "no");
    assert_said(&said, " 1 | ab {\n   |    ^\n");
}

static void end_of_text_has_a_caret_behind_it(void **state)
{
    (void)state;
    struct mu_place place = {"f", "ab", 2, 2, 0};
    (void)!mu_fail_at(&said.log, MU_E0201, &place, NULL, NULL, "no");
    assert_said(&said, "f:1:3\n   |\n 1 | ab\n   |   ^\n");
    struct mu_place beyond = {"f", "ab", 2, 99, 99}, empty = {"f", "", 0, 0, 0};
    (void)!mu_fail_at(&said.log, MU_E0201, &beyond, NULL, NULL, "no");
    (void)!mu_fail_at(&said.log, MU_E0201, &empty, NULL, NULL, "no");
    assert_said(&said, "f:1:1\n   |\n 1 | \n   | ^\n");
}

/* Where the caret of the last message points to, in the line above it. */
static const char *pointed_at(void)
{
    const char *caret_line = strrchr(said.text, '|');
    const char *caret = strchr(caret_line, '^');
    const char *line_end = caret_line;
    while (*line_end != '\n')
        line_end--;
    const char *line = line_end;
    while (line[-1] != '\n')
        line--;
    return line + (caret - (line_end + 1));
}

static void long_lines_are_cut_around_the_caret(void **state)
{
    (void)state;
    char text[3001];
    for (size_t offset = 0; offset + 5 <= 3000; offset += 83) {
        memset(text, 'x', 3000);
        text[3000] = '\0';
        memcpy(text + offset, "WRONG", 5);
        mu_test_log_init(&said);
        struct mu_place place = place_of(text, "WRONG");
        (void)!mu_fail_at(&said.log, MU_E0201, &place, NULL, NULL, "no");
        assert_memory_equal(pointed_at(), "WRONG", 5);
        for (const char *line = said.text; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 100);
    }
}

static void control_bytes_never_reach_the_terminal(void **state)
{
    (void)state;
    struct mu_place place = place_of("a\tb\x1b[31m\x80\xc2\x9b\xe2\x80\xaewrong", "wrong");
    (void)!mu_fail_at(&said.log, MU_E0201, &place, "c\x1b", "d\x7f", "e\x1b %s", "\xff\r\x07");
    assert_string_equal(said.text, "error[E0201]: e? ???\n"
                                   "  --> $TF_CONFIG:1:12\n"
                                   "   |\n"
                                   " 1 | a b?[31m???wrong\n"
                                   "   |            ^^^^^ c?\n"
                                   "   = help: d?\n");
}

static void first_error_is_kept(void **state)
{
    (void)state;
    (void)!mu_fail(&said.log, MU_E0401, "help", "worker/%d died\nand more", 2);
    (void)!mu_fail(&said.log, MU_E0601, NULL, "second");
    assert_int_equal(said.log.first_number, 401);
    assert_int_equal(said.log.first_status, MU_UNAVAILABLE);
    assert_string_equal(said.log.first_text, "worker/2 died");
}

static void *fail_often(void *argument)
{
    for (int i = 0; i < 200; i++)
        (void)!mu_fail(argument, i % 2 ? MU_E0401 : MU_E0601, NULL, i % 2 ? "peer" : "disk");
    return NULL;
}

static void one_of_many_threads_is_the_first(void **state)
{
    (void)state;
    said.log.write = mu_log_write_nothing;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fail_often, &said.log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_string_equal(said.log.first_text, "disk");
    assert_int_equal(said.log.first_number, 601);
}

static void a_quiet_log_writes_nothing_and_keeps_the_first_error(void **state)
{
    (void)state;
    int ends[2], kept = dup(STDERR_FILENO);
    char got[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    dup2(ends[1], STDERR_FILENO);
    struct mu_log quiet = mu_log_quiet();
    enum mu_status status = mu_fail(&quiet, MU_E0302, NULL, "port %d is in use", 2222);
    (void)!mu_fail(&quiet, MU_E0401, NULL, "peer");
    mu_say(&quiet, MU_LEVEL_ERROR, "slow");
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(status, MU_UNAVAILABLE);
    assert_int_equal(recv(ends[0], got, sizeof(got), MSG_DONTWAIT), -1);
    assert_string_equal(quiet.first_text, "port 2222 is in use");
    assert_int_equal(quiet.first_number, 302);
    close(ends[0]);
    close(ends[1]);
}

static void levels_above_the_log_are_not_written(void **state)
{
    (void)state;
    said.log.level = MU_LEVEL_WARN;
    mu_say(&said.log, MU_LEVEL_INFO, "not this");
    mu_say(&said.log, MU_LEVEL_WARN, "but %s", "this");
    assert_string_equal(said.text, "but this\n");
}

static void messages_too_long_are_cut_at_a_character(void **state)
{
    (void)state;
    static char big[MU_LOG_TEXT_MAX * 2];
    for (size_t i = 0; i + 2 < sizeof(big); i += 2)
        memcpy(big + i, "\xc3\xa9", 2);
    for (int shift = 0; shift < 2; shift++) {
        mu_test_log_init(&said);
        (void)!mu_fail(&said.log, MU_E0401, big, "%s%s", shift ? "x" : "", big);
        assert_true(said.bytes <= MU_LOG_TEXT_MAX);
        assert_true(mu_text_is_utf8(said.text, said.bytes));
        assert_true(mu_text_is_utf8(said.log.first_text, strlen(said.log.first_text)));
    }
}

/* On a datagram socket every write is one message. */
static void stderr_gets_each_message_in_one_write(void **state)
{
    (void)state;
    struct mu_log log;
    int ends[2], kept = dup(STDERR_FILENO);
    char got[512] = "";
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    mu_log_init_stderr(&log, MU_LEVEL_INFO);
    dup2(ends[1], STDERR_FILENO);
    enum mu_status status = mu_fail(&log, MU_E0302, "choose another", "port %d is in use", 2222);
    mu_say(&log, MU_LEVEL_WARN, "slow");
    mu_say(&log, MU_LEVEL_INFO, "step %d", 3);
    mu_say(&log, MU_LEVEL_DEBUG, "hidden");
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(status, MU_UNAVAILABLE);
    got[recv(ends[0], got, sizeof(got) - 1, MSG_DONTWAIT)] = '\0';
    assert_string_equal(got, "error[E0302]: port 2222 is in use\n  = help: choose another\n");
    got[recv(ends[0], got, sizeof(got) - 1, MSG_DONTWAIT)] = '\0';
    assert_string_equal(got, "warning: slow\n");
    got[recv(ends[0], got, sizeof(got) - 1, MSG_DONTWAIT)] = '\0';
    assert_string_equal(got, "step 3\n");
    assert_int_equal(recv(ends[0], got, sizeof(got), MSG_DONTWAIT), -1);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(error_has_number_text_and_help, setup),
        cmocka_unit_test_setup(error_without_help_of_its_own_has_that_of_its_row, setup),
        cmocka_unit_test_setup(no_line_before_the_help_is_empty, setup),
        cmocka_unit_test_setup(place_is_shown_with_a_caret, setup),
        cmocka_unit_test_setup(gutter_widens_with_the_line_number, setup),
        cmocka_unit_test_setup(columns_count_characters_not_bytes, setup),
        cmocka_unit_test_setup(caret_stays_on_its_line, setup),
        cmocka_unit_test_setup(end_of_text_has_a_caret_behind_it, setup),
        cmocka_unit_test_setup(long_lines_are_cut_around_the_caret, setup),
        cmocka_unit_test_setup(control_bytes_never_reach_the_terminal, setup),
        cmocka_unit_test_setup(first_error_is_kept, setup),
        cmocka_unit_test_setup(one_of_many_threads_is_the_first, setup),
        cmocka_unit_test(a_quiet_log_writes_nothing_and_keeps_the_first_error),
        cmocka_unit_test_setup(levels_above_the_log_are_not_written, setup),
        cmocka_unit_test_setup(messages_too_long_are_cut_at_a_character, setup),
        cmocka_unit_test_setup(stderr_gets_each_message_in_one_write, setup),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
