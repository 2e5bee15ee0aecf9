/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/summary.h"
#include "ps/policies.h"
#include "ps/split.h"
#include "runtime/io/folder.h"

static void write_integer(struct mu_text *out, const char *key, int64_t value)
{
    mu_text_add(out, "  \"%s\": %lld,\n", key, (long long)value);
}

static void write_integer_if(struct mu_text *out, const char *key, bool is_known, int64_t value)
{
    if (is_known)
        write_integer(out, key, value);
    else
        mu_text_add(out, "  \"%s\": null,\n", key);
}

static void write_number(struct mu_text *out, const char *key, double value)
{
    mu_text_add(out, "  \"%s\": ", key);
    mu_text_add_double(out, value);
    mu_text_add(out, ",\n");
}

/* Of those that were refused it is not known. */
static int64_t judged(const struct mu_summary *summary)
{
    int64_t count = 0;
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        count += i == MU_VERDICT_REFUSE ? 0 : summary->verdicts[i];
    return count;
}

/* Buckets up to the last one that is not empty; nothing was pushed, or a server alone has counted:
 * []. */
static void write_staleness(const struct mu_summary *summary, struct mu_text *out)
{
    int64_t pushes = 0;
    int bucket_count = 0;
    for (int i = 0; i < MU_SUMMARY_STALENESS_MAX; i++) {
        pushes += summary->staleness[i];
        if (summary->staleness[i] > 0)
            bucket_count = i + 1;
    }
    if (pushes == 0)
        pushes = judged(summary);
    mu_text_add(out, "  \"staleness\": {\n    \"mean\": ");
    mu_text_add_double(out, pushes > 0 ? summary->staleness_sum / (double)pushes : 0);
    mu_text_add(
        out, ",\n    \"max\": %lld,\n    \"histogram\": [", (long long)summary->staleness_max);
    for (int i = 0; i < bucket_count; i++)
        mu_text_add(out, "%s%lld", i > 0 ? ", " : "", (long long)summary->staleness[i]);
    mu_text_add(out, "]\n  },\n");
}

static void write_counts(const int64_t verdicts[MU_VERDICT_COUNT], struct mu_text *out)
{
    mu_text_add(out, "{");
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        mu_text_add(out, "%s\"%s\": %lld", i > 0 ? ", " : "", mu_verdict_name((enum mu_verdict)i),
            (long long)verdicts[i]);
    mu_text_add(out, "}");
}

static void write_verdicts(const struct mu_summary *summary, struct mu_text *out)
{
    mu_text_add(out, "  \"verdicts\": ");
    write_counts(summary->verdicts, out);
    mu_text_add(out, ",\n");
    write_integer(out, "recoveries", summary->recoveries);
    write_integer(out, "updates_lost", summary->updates_lost);
    write_number(out, "takeover_seconds", summary->takeover_seconds);
    write_number(out, "takeover_silence_seconds", summary->takeover_silence_seconds);
    mu_text_add(out, "  \"verdicts_by_task\": {");
    for (int i = 0; i < summary->task_count; i++) {
        mu_text_add(out, "%s\n    \"%s\": ", i > 0 ? "," : "", summary->tasks[i].name);
        write_counts(summary->tasks[i].verdicts, out);
    }
    mu_text_add(out, summary->task_count > 0 ? "\n  },\n" : "},\n");
}

/* Of the dense bytes. */
static double dense_balance(const struct mu_summary *summary)
{
    int64_t bytes[MU_PS_SERVERS_MAX];
    for (int i = 0; i < summary->server_count; i++)
        bytes[i] = summary->servers[i].load.value[MU_LOAD_DENSE_BYTES];
    return mu_load_balance(bytes, summary->server_count);
}

static void write_servers(const struct mu_summary *summary, struct mu_text *out)
{
    mu_text_add(out, "  \"servers\": {");
    for (int i = 0; i < summary->server_count; i++) {
        const struct mu_summary_server *server = &summary->servers[i];
        mu_text_add(out, "%s\n    \"%s\": {", i > 0 ? "," : "", server->name);
        for (int row = 0; row < MU_LOAD_COUNT; row++)
            mu_text_add(out, "%s\"%s\": %lld", row > 0 ? ", " : "",
                mu_load_name((enum mu_load_row)row), (long long)server->load.value[row]);
        mu_text_add(out, "}");
    }
    mu_text_add(out, summary->server_count > 0 ? "\n  },\n" : "},\n");
    write_integer_if(out, "servers_since", summary->server_count > 0, summary->servers_since);
    mu_text_add(out, "  \"dense_balance\": ");
    mu_text_add_double(out, dense_balance(summary));
    mu_text_add(out, "\n");
}

/* As the head of the servers has it, or the one after it that has taken over. */
static void write_auto(const struct mu_summary *summary, struct mu_text *out)
{
    const int64_t *value = summary->server_count > 0 ? summary->servers[0].load.value : NULL;
    if (summary->server_count > 1 && summary->servers[1].load.value[MU_LOAD_AUTO_PREDICTED] > 0)
        value = summary->servers[1].load.value;
    if (!value || value[MU_LOAD_AUTO_PREDICTED] == 0) {
        mu_text_add(out, "  \"auto\": null,\n");
        return;
    }
    int64_t workers = value[MU_LOAD_AUTO_WORKERS];
    if (workers > 0)
        mu_text_add(out, "  \"auto\": {\"workers\": %lld, \"backups\": %lld", (long long)workers,
            (long long)(summary->task_count - workers));
    else
        mu_text_add(out, "  \"auto\": {\"bound\": %lld", (long long)value[MU_LOAD_AUTO_BOUND]);
    mu_text_add(out, ", \"predicted_gain\": ");
    mu_text_add_double(out, (double)value[MU_LOAD_AUTO_PREDICTED] / 1000);
    mu_text_add(out, ", \"measured_gain\": ");
    if (value[MU_LOAD_AUTO_MEASURED] > 0)
        mu_text_add_double(out, (double)value[MU_LOAD_AUTO_MEASURED] / 1000);
    else
        mu_text_add(out, "null");
    mu_text_add(out, "},\n");
}

void mu_summary_write(const struct mu_summary *summary, struct mu_text *out)
{
    mu_text_add(out, "{\n");
    write_integer(out, "exit", summary->exit);
    write_integer(out, "steps", summary->steps);
    write_integer(out, "epochs", summary->epochs);
    write_integer(out, "samples", summary->samples);
    write_integer_if(out, "samples_again", summary->samples_again >= 0, summary->samples_again);
    write_number(out, "wall_seconds", summary->wall_seconds);
    write_number(out, "first_step_seconds", summary->first_step_seconds);
    write_number(out, "samples_per_second", summary->samples_per_second);
    write_number(out, "rows_per_second", summary->rows_per_second);
    write_number(out, "train_loss", summary->train_loss);
    write_number(out, "test_accuracy", summary->test_accuracy);
    write_number(out, "test_loss", summary->test_loss);
    write_number(out, "test_auc", summary->test_auc);
    write_integer_if(out, "embedding_rows", summary->embedding_rows >= 0, summary->embedding_rows);
    write_integer(out, "exchange_bytes", summary->exchange_bytes);
    mu_text_add(out, "  \"parameters_crc32c\": \"%08x\",\n", summary->parameters_crc32c);
    write_staleness(summary, out);
    write_verdicts(summary, out);
    write_auto(summary, out);
    write_servers(summary, out);
    mu_text_add(out, "}\n");
}

enum mu_status mu_summary_save(
    struct mu_log *log, const char *path, const struct mu_summary *summary)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_summary_write(summary, &text);
    enum mu_status status = text.failed ? mu_fail(log, MU_E0801, NULL, "no memory for %s", path)
                                        : mu_folder_write(log, path, text.data, text.bytes);
    mu_text_finish(&text);
    return status;
}
