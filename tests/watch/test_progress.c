/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "watch/progress.h"
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static const struct mu_progress half = {.epoch = 2,
    .epochs = 10,
    .step = 812,
    .steps_total = 1875,
    .loss = 0.03121,
    .accuracy = 0.9912,
    .samples_per_second = 11234,
    .seconds_left = 72.4,
    .alive = 4,
    .tasks = 4};

static void a_wide_line_shows_everything(void **state)
{
    char line[256];
    mu_progress_format(&half, 200, true, line, sizeof(line));
    assert_string_equal(line, "epoch 2/10 ████▎       43 %  step 812/1875  loss 0.0312  "
                              "acc 99.1 %  11.2k/s  1m13s left  4/4 alive");
    mu_progress_format(&half, 200, false, line, sizeof(line));
    assert_string_equal(line, "epoch 2/10 ####......  43 %  step 812/1875  loss 0.0312  "
                              "acc 99.1 %  11.2k/s  1m13s left  4/4 alive");
}

/* Columns as a terminal counts them. */
static int columns_of(const char *line)
{
    int columns = 0;
    for (; *line; line++)
        columns += ((unsigned char)*line & 0xc0) != 0x80;
    return columns;
}

static void a_line_never_exceeds_its_columns(void **state)
{
    char line[256];
    struct mu_progress progress = half;
    progress.missing = "worker/2";
    for (int columns = 13; columns < 140; columns++) {
        mu_progress_format(&progress, columns, true, line, sizeof(line));
        assert_in_range(columns_of(line), 1, columns);
        assert_non_null(strstr(line, "step 812/1875"));
    }
}

static void the_missing_task_outlives_the_other_fields(void **state)
{
    char line[256];
    struct mu_progress progress = half;
    progress.alive = 3;
    progress.missing = "worker/2";
    mu_progress_format(&progress, 45, true, line, sizeof(line));
    assert_string_equal(line, "step 812/1875  3/4 alive, worker/2 is not");
}

static void what_is_not_known_is_not_shown(void **state)
{
    char line[256];
    struct mu_progress start = {.epoch = 1,
        .epochs = 5,
        .steps_total = 100,
        .loss = NAN,
        .accuracy = NAN,
        .seconds_left = NAN,
        .alive = 2,
        .tasks = 2};
    mu_progress_format(&start, 200, false, line, sizeof(line));
    assert_string_equal(line, "epoch 1/5 ..........   0 %  step 0/100  2/2 alive");
}

static void where_epochs_do_not_end_the_run_there_is_no_number_of_them(void **state)
{
    char line[256];
    struct mu_progress progress = half;
    progress.epoch = 13;
    progress.epochs = 0;
    mu_progress_format(&progress, 200, false, line, sizeof(line));
    assert_memory_equal(line, "epoch 13 ####", strlen("epoch 13 ####"));
}

static void rates_have_three_digits(void **state)
{
    char line[256];
    struct mu_progress progress = half;
    const struct {
        double rate;
        const char *text;
    } cases[] = {{812.4, " 812/s"}, {999.7, " 1.0k/s"}, {99940, " 99.9k/s"}, {99960, " 100k/s"},
        {2.54e6, " 2.5M/s"}};
    for (size_t i = 0; i < MU_COUNT_OF(cases); i++) {
        progress.samples_per_second = cases[i].rate;
        mu_progress_format(&progress, 200, true, line, sizeof(line));
        assert_non_null(strstr(line, cases[i].text));
    }
}

static void a_short_buffer_is_cut_between_characters(void **state)
{
    char line[14]; /* "epoch 2/10 " and three bytes: one block, not one and a third */
    mu_progress_format(&half, 200, true, line, sizeof(line));
    assert_string_equal(line, "epoch 2/10 ");
}

/* What the display has written to a pipe. */
static size_t drain(int fd, char *out, size_t bytes)
{
    ssize_t got = read(fd, out, bytes - 1);
    out[got > 0 ? got : 0] = '\0';
    return strlen(out);
}

static int lines_of(bool launched, bool enabled, int64_t seconds, char end)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    struct mu_progress_display display;
    mu_progress_display_init(&display, ends[1], launched, enabled);
    static char text[1 << 17];
    int count = 0;
    for (int64_t ms = 0; ms < seconds * 1000; ms += 20) {
        mu_progress_show(&display, &half, ms * 1000000, false);
        size_t bytes = drain(ends[0], text, sizeof(text));
        if (bytes > 0) {
            assert_int_equal(text[bytes - 1], end);
            count++;
        }
    }
    mu_progress_clear(&display); /* not a terminal: nothing to clear */
    assert_int_equal(drain(ends[0], text, sizeof(text)), 0);
    close(ends[0]);
    close(ends[1]);
    return count;
}

static void off_a_terminal_there_is_a_line_every_ten_seconds(void **state)
{
    assert_int_equal(lines_of(false, true, 35, '\n'), 4);
}

static void for_a_launcher_there_are_ten_lines_a_second(void **state)
{
    assert_int_equal(lines_of(true, true, 3, '\r'), 30);
}

static void a_quiet_display_shows_nothing(void **state)
{
    assert_int_equal(lines_of(false, false, 30, '\n'), 0);
}

static void on_a_terminal_one_line_is_overwritten(void **state)
{
    int ends[2];
    char text[512];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    struct mu_progress_display display;
    mu_progress_display_init(&display, ends[1], false, true);
    display.terminal = true;
    setenv("COLUMNS", "60", 1);
    mu_progress_show(&display, &half, 0, false);
    drain(ends[0], text, sizeof(text));
    assert_int_equal(text[0], '\r');
    assert_non_null(strstr(text, "step 812/1875"));
    assert_string_equal(text + strlen(text) - 3, "\033[K");
    assert_in_range(columns_of(text), 10, 60 + 3);
    mu_progress_show(&display, &half, 1, false); /* too early */
    assert_int_equal(drain(ends[0], text, sizeof(text)), 0);
    mu_progress_clear(&display);
    drain(ends[0], text, sizeof(text));
    assert_string_equal(text, "\r\033[K");
    mu_progress_clear(&display);
    assert_int_equal(drain(ends[0], text, sizeof(text)), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wide_line_shows_everything),
        cmocka_unit_test(a_line_never_exceeds_its_columns),
        cmocka_unit_test(the_missing_task_outlives_the_other_fields),
        cmocka_unit_test(what_is_not_known_is_not_shown),
        cmocka_unit_test(where_epochs_do_not_end_the_run_there_is_no_number_of_them),
        cmocka_unit_test(rates_have_three_digits),
        cmocka_unit_test(a_short_buffer_is_cut_between_characters),
        cmocka_unit_test(off_a_terminal_there_is_a_line_every_ten_seconds),
        cmocka_unit_test(for_a_launcher_there_are_ten_lines_a_second),
        cmocka_unit_test(a_quiet_display_shows_nothing),
        cmocka_unit_test(on_a_terminal_one_line_is_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
