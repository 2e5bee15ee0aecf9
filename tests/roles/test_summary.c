/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/summary.h"
#include "test.h"
#include <math.h>
#include <unistd.h>

static const struct mu_summary_task tasks[] = {
    {.name = "chief/0", .verdicts = {[MU_VERDICT_APPLY] = 3}},
    {.name = "worker/0", .verdicts = {[MU_VERDICT_DROP] = 1}},
};

static const struct mu_summary_server servers[] = {
    {.name = "ps/0", .load = {{[MU_LOAD_REQUESTS] = 7, [MU_LOAD_DENSE_BYTES] = 300}}},
    {.name = "ps/1", .load = {{[MU_LOAD_DENSE_BYTES] = 100, [MU_LOAD_CUT_OFF] = 1}}},
};

static const struct mu_summary finished = {.exit = 0,
    .steps = 1875,
    .epochs = 2,
    .samples = 120000,
    .samples_again = 640,
    .wall_seconds = 12.5,
    .first_step_seconds = 0.25,
    .samples_per_second = 9600,
    .rows_per_second = 9500,
    .train_loss = 0.03125,
    .test_accuracy = 0.975,
    .test_loss = 0.125,
    .test_auc = 0.75,
    .embedding_rows = 122,
    .parameters_crc32c = 0xbeef,
    .staleness = {[0] = 1, [1] = 0, [2] = 3},
    .staleness_sum = 6,
    .staleness_max = 2,
    .verdicts = {[MU_VERDICT_APPLY] = 3, [MU_VERDICT_DROP] = 1},
    .recoveries = 2,
    .updates_lost = 31,
    .takeover_seconds = 0.25,
    .takeover_silence_seconds = 0.375,
    .tasks = tasks,
    .task_count = 2,
    .servers = servers,
    .server_count = 2,
    .servers_since = 1500};

#define LOAD(requests, dense_bytes, cut_off)                                                       \
    "{\"requests\": " requests ", \"bytes_in\": 0, \"bytes_out\": 0, \"rows_given\": 0, "          \
    "\"rows_wanted\": 0, \"dense_bytes\": " dense_bytes ", \"rows\": 0, \"row_bytes\": 0, "        \
    "\"rows_evicted\": 0, \"memory_bytes\": 0, \"gradients\": 0, \"staleness_sum\": 0, "           \
    "\"staleness_max\": 0, \"held\": 0, \"unread\": 0, \"unread_bytes\": 0, "                      \
    "\"cut_off\": " cut_off ", \"auto_workers\": 0, \"auto_bound\": 0, "                           \
    "\"auto_predicted_permille\": 0, \"auto_measured_permille\": 0, "                              \
    "\"refused\": 0}"

static const char golden[] =
    "{\n"
    "  \"exit\": 0,\n"
    "  \"steps\": 1875,\n"
    "  \"epochs\": 2,\n"
    "  \"samples\": 120000,\n"
    "  \"samples_again\": 640,\n"
    "  \"wall_seconds\": 12.5,\n"
    "  \"first_step_seconds\": 0.25,\n"
    "  \"samples_per_second\": 9600,\n"
    "  \"rows_per_second\": 9500,\n"
    "  \"train_loss\": 0.03125,\n"
    "  \"test_accuracy\": 0.975,\n"
    "  \"test_loss\": 0.125,\n"
    "  \"test_auc\": 0.75,\n"
    "  \"embedding_rows\": 122,\n"
    "  \"exchange_bytes\": 0,\n"
    "  \"parameters_crc32c\": \"0000beef\",\n"
    "  \"staleness\": {\n"
    "    \"mean\": 1.5,\n"
    "    \"max\": 2,\n"
    "    \"histogram\": [1, 0, 3]\n"
    "  },\n"
    "  \"verdicts\": {\"apply\": 3, \"scale\": 0, \"correct\": 0, "
    "\"gather\": 0, \"drop\": 1, \"refuse\": 0},\n"
    "  \"recoveries\": 2,\n"
    "  \"updates_lost\": 31,\n"
    "  \"takeover_seconds\": 0.25,\n"
    "  \"takeover_silence_seconds\": 0.375,\n"
    "  \"verdicts_by_task\": {\n"
    "    \"chief/0\": {\"apply\": 3, \"scale\": 0, \"correct\": 0, "
    "\"gather\": 0, \"drop\": 0, \"refuse\": 0},\n"
    "    \"worker/0\": {\"apply\": 0, \"scale\": 0, \"correct\": 0, "
    "\"gather\": 0, \"drop\": 1, \"refuse\": 0}\n"
    "  },\n"
    "  \"auto\": null,\n"
    "  \"servers\": {\n"
    "    \"ps/0\": " LOAD("7", "300", "0") ",\n"
                                           "    \"ps/1\": " LOAD(
                                               "0", "100", "1") "\n"
                                                                "  },\n"
                                                                "  \"servers_since\": 1500,\n"
                                                                "  \"dense_balance\": 1.5\n"
                                                                "}\n";

static void a_summary_is_this_text(void **state)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_summary_write(&finished, &text);
    assert_string_equal(text.data, golden);
    mu_text_finish(&text);
}

static void what_auto_chose_is_with_its_gains(void **state)
{
    static const struct {
        struct mu_summary_server server;
        const char *text;
    } rows[] = {
        {{.load = {{[MU_LOAD_AUTO_WORKERS] = 1, [MU_LOAD_AUTO_PREDICTED] = 1250}}},
            "{\"workers\": 1, \"backups\": 1, \"predicted_gain\": 1.25, \"measured_gain\": null}"},
        {{.load = {{[MU_LOAD_AUTO_BOUND] = 3,
              [MU_LOAD_AUTO_PREDICTED] = 2000,
              [MU_LOAD_AUTO_MEASURED] = 1500}}},
            "{\"bound\": 3, \"predicted_gain\": 2, \"measured_gain\": 1.5}"},
    };
    for (size_t i = 0; i < MU_COUNT_OF(rows); i++) {
        struct mu_summary summary = finished;
        struct mu_text text;
        summary.servers = &rows[i].server;
        summary.server_count = 1;
        mu_text_init(&text);
        mu_summary_write(&summary, &text);
        if (!strstr(text.data, rows[i].text))
            fail_msg("no %s in %s", rows[i].text, text.data);
        mu_text_finish(&text);
    }
}

static void what_is_not_known_is_null(void **state)
{
    struct mu_summary failed = {.exit = 69,
        .first_step_seconds = NAN,
        .samples_per_second = NAN,
        .train_loss = NAN,
        .test_accuracy = NAN,
        .takeover_seconds = NAN,
        .takeover_silence_seconds = NAN,
        .samples_again = -1};
    struct mu_text text;
    mu_text_init(&text);
    mu_summary_write(&failed, &text);
    assert_non_null(strstr(text.data, "\"train_loss\": null"));
    assert_non_null(strstr(text.data, "\"test_accuracy\": null"));
    assert_non_null(strstr(text.data, "\"takeover_seconds\": null"));
    assert_non_null(strstr(text.data, "\"takeover_silence_seconds\": null"));
    assert_non_null(strstr(text.data, "\"histogram\": []"));
    assert_non_null(strstr(text.data, "\"samples_again\": null"));
    assert_non_null(strstr(text.data, "\"servers\": {}"));
    assert_non_null(strstr(text.data, "\"servers_since\": null"));
    assert_non_null(strstr(text.data, "\"dense_balance\": null"));
    assert_null(strstr(text.data, "nan"));
    mu_text_finish(&text);
}

static void a_saved_summary_replaces_the_old_one(void **state)
{
    static struct mu_test_log test_log;
    struct mu_log *log = mu_test_log_init(&test_log);
    char path[] = "/tmp/muster-summary-XXXXXX", text[4096] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old", 3), 3);
    close(fd);
    assert_ok(mu_summary_save(log, path, &finished));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, golden);
    unlink(path);
    assert_int_equal(
        mu_summary_save(log, "/proc/nothing/summary.json", &finished), MU_CANNOT_CREATE);
    assert_said(&test_log, "/proc/nothing/summary.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_summary_is_this_text),
        cmocka_unit_test(what_auto_chose_is_with_its_gains),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(a_saved_summary_replaces_the_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
