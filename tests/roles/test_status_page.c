/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/status_page.h"
#include "test.h"
#include <math.h>

static struct mu_status_page page_of(struct mu_status_task *task, int task_count)
{
    struct mu_status_page page = {.phase = MU_STATUS_TRAINING,
        .written_wall_ns = 1500 * MU_SECOND + 250 * MU_MS,
        .started_wall_ns = 1400 * MU_SECOND,
        .run = "demo",
        .leader = "chief/0",
        .host = "h1",
        .process = 412,
        .process_started = 77,
        .progress = {.epoch = 2,
            .epochs = 3,
            .step = 10,
            .steps_total = 30,
            .loss = 0.5,
            .accuracy = (double)NAN,
            .samples_per_second = 1e6 / 3,
            .seconds_left = (double)NAN},
        .task = task,
        .task_count = task_count};
    return page;
}

/* The chief computes, a worker has not come. */
static void make_tasks(struct mu_status_task task[2])
{
    const struct mu_task_view chief = {.here = true,
        .joined = true,
        .process = 412,
        .host = "h1",
        .started_wall_ns = 1400 * MU_SECOND,
        .heard_wall_ns = 1500 * MU_SECOND + 200 * MU_MS,
        .doing = MU_DOING_COMPUTING,
        .step = 11,
        .doing_age_ns = 2 * MU_SECOND,
        .samples = 640,
        .absent = ""};
    const struct mu_task_view worker = {.absent = "Connection \"refused\""};
    memset(task, 0, 2 * sizeof(*task));
    strcpy(task[0].name, "chief/0");
    strcpy(task[1].name, "worker/0");
    strcpy(task[1].address, "h2:2222");
    mu_status_page_look(&task[0], &chief, MU_SECOND);
    mu_status_page_look(&task[1], &worker, MU_SECOND);
}

static const char golden[] =
    "{\n"
    "  \"phase\": \"training\",\n"
    "  \"written\": 1500.250,\n"
    "  \"started\": 1400.000,\n"
    "  \"name\": \"demo\",\n"
    "  \"leader\": \"chief/0\",\n"
    "  \"host\": \"h1\",\n"
    "  \"process\": 412,\n"
    "  \"process_started\": 77,\n"
    "  \"exit\": null,\n"
    "  \"error_number\": null,\n"
    "  \"error\": null,\n"
    "  \"error_help\": null,\n"
    "  \"command\": null,\n"
    "  \"checkpoint_error\": null,\n"
    "  \"step\": 10,\n"
    "  \"steps_total\": 30,\n"
    "  \"epoch\": 2,\n"
    "  \"epochs\": 3,\n"
    "  \"loss\": 0.5,\n"
    "  \"accuracy\": null,\n"
    "  \"samples_per_second\": 333333,\n"
    "  \"seconds_left\": null,\n"
    "  \"tasks\": {\n"
    "    \"chief/0\": {\"state\": \"here\", \"address\": null, \"host\": \"h1\", \"process\": 412, "
    "\"started\": 1400.000, \"up_seconds\": 100.200, \"heard_seconds\": 0.050, "
    "\"doing\": \"computing step 11\", \"doing_seconds\": 2.000, \"step\": 11, \"samples\": 640, "
    "\"samples_per_second\": null},\n"
    "    \"worker/0\": {\"state\": \"missing\", \"address\": \"h2:2222\", "
    "\"absent\": \"Connection \\\"refused\\\"\"}},\n"
    "  \"servers\": {},\n"
    "  \"servers_since\": null,\n"
    "  \"dense_balance\": null\n"
    "}\n";

static void a_status_is_this_text(void **state)
{
    (void)state;
    struct mu_status_task task[2];
    struct mu_text text;
    make_tasks(task);
    const struct mu_status_page page = page_of(task, 2);
    mu_text_init(&text);
    mu_text_add(&text, "of before");
    mu_status_page_write(&page, &text);
    assert_string_equal(text.data, golden);
    mu_text_finish(&text);
}

static void a_task_that_is_gone_has_lived_until_it_was_heard_last(void **state)
{
    (void)state;
    struct mu_status_task task = {.name = "ps/0"};
    struct mu_text text;
    const struct mu_task_view view = {.joined = true,
        .host = "h1",
        .started_wall_ns = 1400 * MU_SECOND,
        .heard_wall_ns = 1410 * MU_SECOND,
        .absent = ""};
    mu_status_page_look(&task, &view, MU_SECOND);
    const struct mu_status_page page = page_of(&task, 1);
    mu_text_init(&text);
    mu_status_page_write(&page, &text);
    assert_non_null(strstr(text.data, "\"up_seconds\": 10.000, \"heard_seconds\": 90.250, "));
    mu_text_finish(&text);
}

/* A server that was lost and is waited for; before the start it is the same. */
static void a_task_that_came_and_went_is_gone_and_has_no_rates(void **state)
{
    (void)state;
    struct mu_status_task task = {.name = "ps/0", .rated = true, .samples_per_second = 7};
    struct mu_text text;
    struct mu_task_view view = {
        .here = true, .joined = true, .process = 5, .host = "h1", .absent = ""};
    mu_status_page_look(&task, &view, MU_SECOND);
    task.samples_per_second = 7;
    view = (struct mu_task_view){
        .host = "", .absent = "Connection refused", .awaited_ns = 2500 * MU_MS};
    mu_status_page_look(&task, &view, 2 * MU_SECOND);
    assert_int_equal(task.state, MU_STATUS_GONE);
    const struct mu_status_page page = page_of(&task, 1);
    mu_text_init(&text);
    mu_status_page_write(&page, &text);
    assert_non_null(strstr(text.data, "\"host\": \"h1\", \"process\": 5, "));
    assert_non_null(strstr(text.data, "\"samples_per_second\": null, "
                                      "\"absent\": \"Connection refused\", "
                                      "\"awaited_seconds\": 2.500}"));
    mu_text_finish(&text);
}

static void no_epochs_end_a_run_that_ends_by_its_steps(void **state)
{
    (void)state;
    struct mu_status_page page = page_of(NULL, 0);
    struct mu_text text;
    page.progress.epochs = 0;
    mu_text_init(&text);
    mu_status_page_write(&page, &text);
    assert_non_null(strstr(text.data, "\"epochs\": null"));
    mu_text_finish(&text);
}

static void the_end_has_an_exit_code_and_the_first_error(void **state)
{
    (void)state;
    struct mu_status_page page = page_of(NULL, 0);
    struct mu_text text;
    page.phase = MU_STATUS_ENDED;
    page.exit = 69;
    page.error_number = 401;
    strcpy(page.error, "worker/1 died");
    mu_text_init(&text);
    mu_status_page_write(&page, &text);
    assert_non_null(strstr(text.data, "\"phase\": \"ended\""));
    assert_non_null(strstr(text.data, "\"exit\": 69"));
    assert_non_null(strstr(text.data, "\"error_number\": 401"));
    assert_non_null(strstr(text.data, "\"error\": \"worker/1 died\""));
    mu_text_finish(&text);
}

/* ---- rates ---- */

static void see(
    struct mu_status_task *task, int64_t seconds, int64_t requests, int64_t staleness_sum)
{
    const struct mu_load load = {{[MU_LOAD_REQUESTS] = requests,
        [MU_LOAD_GRADIENTS] = requests,
        [MU_LOAD_STALENESS_SUM] = staleness_sum}};
    const struct mu_task_view view = {
        .here = true, .joined = true, .host = "h", .absent = "", .load = &load};
    mu_status_page_look(task, &view, seconds * MU_SECOND);
}

static void rates_are_over_the_last_seconds(void **state)
{
    (void)state;
    struct mu_status_task task = {.name = "ps/0"};
    see(&task, 1, 100, 0);
    assert_true(isnan(task.per_second[MU_LOAD_REQUESTS]));
    see(&task, 2, 300, 400); /* the first comes soon */
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 200);
    assert_true(task.staleness == 2);
    see(&task, 3, 1000, 400); /* and stays for a while */
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 200);
    see(&task, 4, 1000, 400);
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 350);
    assert_true(task.staleness == 0);
    see(&task, 6, 1000, 400);
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 0);
    assert_true(isnan(task.staleness)); /* nothing came */
}

static void a_server_that_counts_anew_has_no_rates_until_it_has_counted(void **state)
{
    (void)state;
    struct mu_status_task task = {0};
    see(&task, 10, 1000, 0);
    see(&task, 12, 1400, 0);
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 200);
    see(&task, 13, 50, 0);
    assert_true(isnan(task.per_second[MU_LOAD_REQUESTS]));
    see(&task, 15, 250, 0);
    assert_true(task.per_second[MU_LOAD_REQUESTS] == 100);
}

static void a_worker_that_goes_back_to_a_checkpoint_has_no_rate_below_zero(void **state)
{
    (void)state;
    struct mu_status_task task = {.name = "worker/0"};
    struct mu_task_view view = {
        .here = true, .joined = true, .host = "h", .absent = "", .samples = 900};
    mu_status_page_look(&task, &view, MU_SECOND);
    view.samples = 300;
    mu_status_page_look(&task, &view, 4 * MU_SECOND);
    assert_true(isnan(task.samples_per_second));
    view.samples = 400;
    mu_status_page_look(&task, &view, 5 * MU_SECOND);
    assert_true(task.samples_per_second == 100);
}

static void a_server_has_its_load_its_rates_and_the_balance_of_all(void **state)
{
    (void)state;
    struct mu_status_task task[2] = {{.name = "ps/0"}, {.name = "ps/1"}};
    struct mu_text text;
    see(&task[0], 1, 10, 5);
    see(&task[1], 1, 10, 5);
    task[0].load.value[MU_LOAD_DENSE_BYTES] = 300;
    task[1].load.value[MU_LOAD_DENSE_BYTES] = 100;
    struct mu_status_page page = page_of(task, 2);
    page.servers_since = 40;
    mu_text_init(&text);
    mu_status_page_write(&page, &text);
    assert_non_null(strstr(text.data, "\"ps/0\": {\"requests\": 10, \"bytes_in\": 0, "));
    assert_non_null(strstr(text.data, "\"requests_per_second\": null, "));
    assert_null(strstr(text.data, "dense_bytes_per_second"));
    assert_non_null(strstr(text.data, "\"servers_since\": 40,"));
    assert_non_null(strstr(text.data, "\"dense_balance\": 1.5"));
    mu_text_finish(&text);
}

static void a_task_that_was_there_is_gone_and_one_that_never_came_is_missing(void **state)
{
    (void)state;
    struct mu_status_task task = {.name = "worker/0"};
    struct mu_task_view view = {.absent = "", .host = "h"};
    mu_status_page_look(&task, &view, MU_SECOND);
    assert_int_equal(task.state, MU_STATUS_MISSING);
    view.here = view.joined = true;
    mu_status_page_look(&task, &view, MU_SECOND);
    assert_int_equal(task.state, MU_STATUS_HERE);
    view.here = false;
    mu_status_page_look(&task, &view, MU_SECOND);
    assert_int_equal(task.state, MU_STATUS_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_this_text),
        cmocka_unit_test(a_task_that_is_gone_has_lived_until_it_was_heard_last),
        cmocka_unit_test(a_task_that_came_and_went_is_gone_and_has_no_rates),
        cmocka_unit_test(no_epochs_end_a_run_that_ends_by_its_steps),
        cmocka_unit_test(the_end_has_an_exit_code_and_the_first_error),
        cmocka_unit_test(rates_are_over_the_last_seconds),
        cmocka_unit_test(a_server_that_counts_anew_has_no_rates_until_it_has_counted),
        cmocka_unit_test(a_worker_that_goes_back_to_a_checkpoint_has_no_rate_below_zero),
        cmocka_unit_test(a_server_has_its_load_its_rates_and_the_balance_of_all),
        cmocka_unit_test(a_task_that_was_there_is_gone_and_one_that_never_came_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
