/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/async/push_counts.h"
#include "roles/report/reporter.h"
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a replica counts of its gradients goes with its heartbeats and into lines of metrics. */

static void add(struct mu_push_counts *counts, enum mu_verdict verdict, int64_t staleness)
{
    const struct mu_ps_result result = {.verdict = verdict, .staleness = staleness};
    mu_push_counts_add(counts, &result);
}

static void a_heartbeat_has_what_was_counted_and_no_zeros_at_the_end(void **state)
{
    (void)state;
    struct mu_push_counts counts = {0};
    int64_t told[MU_CLUSTER_COUNTS_MAX];
    assert_int_equal(mu_push_counts_beat(&counts, told), 0);
    add(&counts, MU_VERDICT_APPLY, 0);
    add(&counts, MU_VERDICT_APPLY, 2);
    add(&counts, MU_VERDICT_REFUSE, 0);
    assert_int_equal(mu_push_counts_beat(&counts, told), MU_VERDICT_COUNT + 3);
    assert_int_equal(told[MU_VERDICT_APPLY], 2);
    assert_int_equal(told[MU_VERDICT_REFUSE], 1);
    assert_int_equal(told[MU_VERDICT_COUNT], 1);
    assert_int_equal(told[MU_VERDICT_COUNT + 2], 1);
    add(&counts, MU_VERDICT_DROP, 1000);
    assert_int_equal(mu_push_counts_beat(&counts, told), MU_PUSH_COUNTS_BEAT);
}

static void what_is_heard_of_several_is_added_up_and_too_much_is_passed_over(void **state)
{
    (void)state;
    struct mu_push_counts counts[2] = {0};
    int64_t verdicts[2][MU_VERDICT_COUNT] = {0}, staleness[MU_SUMMARY_STALENESS_MAX] = {0};
    int64_t told[MU_CLUSTER_COUNTS_MAX + 8] = {0};
    for (int i = 0; i < 5; i++)
        add(&counts[i % 2], i < 4 ? MU_VERDICT_APPLY : MU_VERDICT_DROP, 70 * (i % 2));
    for (int r = 0; r < 2; r++) {
        const struct mu_cluster_numbers numbers = {told, mu_push_counts_beat(&counts[r], told)};
        mu_push_counts_heard(numbers, verdicts[r], staleness);
    }
    assert_int_equal(verdicts[0][MU_VERDICT_APPLY], 2);
    assert_int_equal(verdicts[0][MU_VERDICT_DROP], 1);
    assert_int_equal(verdicts[1][MU_VERDICT_APPLY], 2);
    assert_int_equal(staleness[0], 3);
    assert_int_equal(staleness[MU_SUMMARY_STALENESS_MAX - 1], 2);
    const struct mu_cluster_numbers many = {told, MU_COUNT_OF(told)};
    mu_push_counts_heard(many, verdicts[0], staleness);
}

/* ---- lines of metrics ---- */

static int64_t wall_ns(struct mu_world *world)
{
    (void)world;
    return 0;
}

/* The line of a run of so many tasks, of each of which `apply` is its number and one more. */
static void write_line(int task_count, char *out, size_t bytes)
{
    const struct mu_world_ops ops = {.wall_ns = wall_ns};
    struct mu_world world = {.ops = &ops};
    struct mu_task_run run = {.world = &world};
    struct mu_reporter reporter = {.run = &run};
    struct mu_test_log log;
    const int64_t staleness[MU_SUMMARY_STALENESS_MAX] = {[3] = 7};
    char path[] = "/tmp/muster-counts-XXXXXX";
    int fd = mkstemp(path);
    struct mu_summary_task *tasks = calloc((size_t)task_count, sizeof(*tasks));
    assert_true(fd >= 0);
    assert_non_null(tasks);
    for (int t = 0; t < task_count; t++) {
        snprintf(tasks[t].name, sizeof(tasks[t].name), "worker/%d", t);
        tasks[t].verdicts[MU_VERDICT_APPLY] = t + 1;
    }
    assert_ok(mu_metrics_open(mu_test_log_init(&log), path, false, &reporter.metrics));
    mu_reporter_loads(&reporter, 9,
        &(struct mu_report_loads){
            .tasks = tasks, .task_count = task_count, .staleness = staleness});
    mu_metrics_close(reporter.metrics);
    ssize_t got = read(fd, out, bytes - 1);
    out[got > 0 ? got : 0] = '\0';
    close(fd);
    unlink(path);
    free(tasks);
}

static void a_line_has_the_verdicts_of_each_task_that_has_some(void **state)
{
    (void)state;
    char line[1024];
    write_line(2, line, sizeof(line));
    assert_string_equal(line, "{\"time\":0.000,\"step\":9,\"verdict/apply/worker/0\":1,"
                              "\"verdict/apply/worker/1\":2,\"staleness/3\":7}\n");
}

static void of_many_tasks_a_line_has_the_first_and_the_sums(void **state)
{
    (void)state;
    static char line[16384];
    write_line(MU_REPORT_TASKS_MAX, line, sizeof(line));
    assert_non_null(strstr(line, "\"verdict/apply/worker/63\":64,"));
    assert_null(strstr(line, "/all\""));
    write_line(MU_REPORT_TASKS_MAX + 36, line, sizeof(line));
    assert_non_null(strstr(line, "\"verdict/apply/all\":5050,"));
    assert_non_null(strstr(line, "\"verdict/apply/worker/63\":64,"));
    assert_null(strstr(line, "worker/64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_has_what_was_counted_and_no_zeros_at_the_end),
        cmocka_unit_test(what_is_heard_of_several_is_added_up_and_too_much_is_passed_over),
        cmocka_unit_test(a_line_has_the_verdicts_of_each_task_that_has_some),
        cmocka_unit_test(of_many_tasks_a_line_has_the_first_and_the_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
