/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "watch/metrics.h"
#include <math.h>
#include <unistd.h>

static struct mu_test_log test_log;
static char path[64];

static int make_file(void **state)
{
    mu_test_log_init(&test_log);
    strcpy(path, "/tmp/muster-metrics-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

static void write_line(bool append, int64_t step)
{
    struct mu_metrics *metrics = NULL;
    assert_ok(mu_metrics_open(&test_log.log, path, append, &metrics));
    mu_metrics_begin(metrics, INT64_C(1763764801123000000), step);
    mu_metrics_number(metrics, "loss", 0.25);
    mu_metrics_number(metrics, "accuracy", NAN);
    mu_metrics_integer(metrics, "alive", 4);
    mu_metrics_end(metrics);
    mu_metrics_close(metrics);
}

static void put_text(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_text(const char *expected)
{
    char text[1024] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = '\0';
    assert_string_equal(text, expected);
}

#define LINE_7 "{\"time\":1763764801.123,\"step\":7,\"loss\":0.25,\"accuracy\":null,\"alive\":4}\n"

static void a_line_is_one_object(void **state)
{
    write_line(false, 7);
    expect_text(LINE_7);
}

static void a_fresh_run_starts_a_fresh_file(void **state)
{
    put_text("old\n");
    write_line(false, 7);
    expect_text(LINE_7);
}

static void a_resumed_run_goes_on_after_the_last_whole_line(void **state)
{
    put_text("{\"step\":1}\n{\"step\":2,\"lo");
    write_line(true, 7);
    expect_text("{\"step\":1}\n" LINE_7);
    put_text("{\"step\":2,\"lo");
    write_line(true, 7);
    expect_text(LINE_7);
}

static void a_file_that_cannot_be_made_is_named(void **state)
{
    struct mu_metrics *metrics = NULL;
    assert_int_equal(mu_metrics_open(&test_log.log, "/proc/nothing/metrics.jsonl", true, &metrics),
        MU_CANNOT_CREATE);
    assert_said(&test_log, "/proc/nothing/metrics.jsonl");
}

static void a_full_disk_is_said_once_and_counted(void **state)
{
    struct mu_metrics *metrics = NULL;
    assert_ok(mu_metrics_open(&test_log.log, "/dev/full", false, &metrics));
    for (int i = 0; i < 3; i++) {
        mu_metrics_begin(metrics, 0, i);
        mu_metrics_end(metrics);
    }
    mu_metrics_close(metrics);
    assert_said(&test_log, "No space left on device; lines are lost");
    assert_said(&test_log, "lacks 3 lines");
    assert_null(strstr(strstr(test_log.text, "lines are lost") + 1, "lines are lost"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_line_is_one_object),
        CASE(a_fresh_run_starts_a_fresh_file),
        CASE(a_resumed_run_goes_on_after_the_last_whole_line),
        CASE(a_file_that_cannot_be_made_is_named),
        CASE(a_full_disk_is_said_once_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
