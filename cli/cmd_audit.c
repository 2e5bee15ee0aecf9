/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "ps/policies.h"
#include "roles/audit/audit_replay.h"
#include <stdio.h>

/* Where it begins with a checkpoint: what has been found of the time before. */
static void show_earlier(const struct mu_audit_replayed *replayed, struct mu_text *out)
{
    if (replayed->version_first == 0)
        return;
    mu_text_add(out, "from the checkpoint of version %lld", (long long)replayed->version_first);
    if (replayed->earlier_count > 0)
        mu_text_add(out, ", to which the logs before lead (%d) from version %lld on",
            replayed->earlier_count, (long long)replayed->version_earliest);
    mu_text_add(out, "\n");
}

static void show_standbys(const struct mu_audit_replayed *replayed, struct mu_text *out)
{
    for (int i = 0; i < replayed->server_count; i++)
        if (replayed->standby[i])
            mu_text_add(out, "ps/%d: from the log of its standby on ps/%d\n", i,
                mu_ps_seat_process(replayed->server_count + i, replayed->server_count));
}

static void show(const struct mu_audit_replayed *replayed, struct mu_text *out)
{
    mu_text_add(out, "%d server%s, %llu gradients:", replayed->server_count,
        replayed->server_count == 1 ? "" : "s", (unsigned long long)replayed->gradients);
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        if (replayed->verdicts[i] > 0)
            mu_text_add(out, " %s %llu", mu_verdict_name((enum mu_verdict)i),
                (unsigned long long)replayed->verdicts[i]);
    mu_text_add(out, "\nversions %lld to %lld\n", (long long)replayed->version_first,
        (long long)replayed->version);
    show_earlier(replayed, out);
    show_standbys(replayed, out);
    if (replayed->embedding_rows >= 0)
        mu_text_add(out, "embedding_rows %lld\n", (long long)replayed->embedding_rows);
    mu_text_add(out, "parameters_crc32c %08x\n", replayed->parameters_crc32c);
}

static void show_json(const struct mu_audit_replayed *replayed, struct mu_text *out)
{
    mu_text_add(out, "{\"servers\":%d,\"gradients\":%llu,\"verdicts\":{", replayed->server_count,
        (unsigned long long)replayed->gradients);
    for (int i = 0; i < MU_VERDICT_COUNT; i++)
        mu_text_add(out, "%s\"%s\":%llu", i > 0 ? "," : "", mu_verdict_name((enum mu_verdict)i),
            (unsigned long long)replayed->verdicts[i]);
    mu_text_add(out, "},\"version_first\":%lld,\"version\":%lld",
        (long long)replayed->version_first, (long long)replayed->version);
    mu_text_add(out, ",\"earlier_logs\":%d,\"version_earliest\":%lld", replayed->earlier_count,
        (long long)replayed->version_earliest);
    mu_text_add(out, ",\"standbys\":[");
    for (int i = 0, shown = 0; i < replayed->server_count; i++)
        if (replayed->standby[i])
            mu_text_add(out, "%s%d", shown++ > 0 ? "," : "", i);
    mu_text_add(out, "]");
    if (replayed->embedding_rows >= 0)
        mu_text_add(out, ",\"embedding_rows\":%lld", (long long)replayed->embedding_rows);
    mu_text_add(out, ",\"parameters_crc32c\":\"%08x\"}\n", replayed->parameters_crc32c);
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    const struct mu_cmd_audit_options *asked = options;
    struct mu_audit_replayed replayed;
    struct mu_text out;
    enum mu_status status = mu_audit_replay(log, asked->directory, asked->to, &replayed);
    if (status != MU_OK)
        return mu_status_exit(status);
    mu_text_init(&out);
    (asked->json ? show_json : show)(&replayed, &out);
    bool good =
        !out.failed && fwrite(out.data, 1, out.bytes, stdout) == out.bytes && fflush(stdout) == 0;
    mu_text_finish(&out);
    return mu_status_exit(
        good ? MU_OK : mu_fail(log, MU_E0605, NULL, "cannot write to the output"));
}

#define AUDIT struct mu_cmd_audit_options

static const struct mu_flag flags[] = {
    {.option = {.name = "to",
         .type = MU_OPTION_INTEGER,
         .offset = offsetof(AUDIT, to),
         .min = -1,
         .max = 9007199254740992.0,
         .fallback = "-1",
         .doc = "the version to stop at, one that the logs in DIR hold; -1: the end of the log"},
        .value = "VERSION"},
    {.option = {.name = "json",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(AUDIT, json),
         .doc = "as one line of JSON"}},
    MU_FLAG_NONE,
};
static const struct mu_operand operands[] = {
    {.name = "DIR",
        .doc = "of a run with mode.audit, or of its logs",
        .offset = offsetof(AUDIT, directory),
        .bytes = sizeof(((AUDIT *)NULL)->directory)},
    MU_OPERAND_NONE,
};

const struct mu_command mu_command_audit_replay = {
    .name = "audit replay",
    .doc = "rebuilds the parameters from the servers' audit logs",
    .details = "Every record is judged and applied again by the same code as in the run, so the "
               "checksum is that of summary.json, bit for bit. Ends with 65, the file and the "
               "offset if a record is damaged, missing, or says what cannot have happened.",
    .examples = (const char *const[]){"muster audit replay runs/demo",
        "muster audit replay --to 500 --json runs/demo", NULL},
    .flags = flags,
    .operands = operands,
    .option_bytes = sizeof(AUDIT),
    .run = run,
};
