/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- muster spec check ---- */

static void print_task(const struct mu_spec *spec, int index)
{
    const struct mu_task *task = &spec->task[index];
    char name[MU_TASK_NAME_MAX], address[MU_HOST_MAX + 16] = "(not listed)", part[64];
    mu_task_name(task, name, sizeof(name));
    if (task->address.host[0] != '\0')
        mu_address_format(&task->address, address, sizeof(address));
    if (task->replica >= 0)
        mu_format(part, sizeof(part), "replica %d of %d", task->replica, spec->replica_count);
    else
        mu_format(part, sizeof(part), "%s",
            task->role == MU_ROLE_PS ? "holds parameters" : "reads checkpoints, never waited for");
    printf("  %-14s %-28s %s%s%s\n", name, address, part, index == spec->leader ? ", leads" : "",
        index == spec->self ? "   <- this task" : "");
}

static void print_spec(const struct mu_spec *spec)
{
    printf("%s: %d task%s, %d replica%s, %d parameter server%s, %s\n", spec->origin,
        spec->task_count, spec->task_count == 1 ? "" : "s", spec->replica_count,
        spec->replica_count == 1 ? "" : "s", spec->ps_count, spec->ps_count == 1 ? "" : "s",
        spec->evaluator_count > 0 ? "an evaluator" : "no evaluator");
    for (int i = 0; i < spec->task_count; i++)
        print_task(spec, i);
    char leader[MU_TASK_NAME_MAX];
    mu_task_name(&spec->task[spec->leader], leader, sizeof(leader));
    printf("%s leads: it saves checkpoints and reports%s.\n", leader,
        spec->task[spec->leader].role == MU_ROLE_CHIEF
            ? ""
            : ", as the first worker where there is no chief");
    printf("Parameter servers serve jobs of mode async, softsync or bounded, of mode sync with "
           "mode.workers or\nmode.backups, and embedding tables; hash %016llx.\n",
        (unsigned long long)spec->hash);
}

static enum mu_status check(struct mu_log *log, const struct mu_cmd_spec_options *options)
{
    struct mu_spec_request request = {
        .cluster_path = options->cluster[0] ? options->cluster : NULL,
        .task = options->task[0] ? options->task : NULL,
        .task_optional = true,
    };
    struct mu_spec spec = {0};
    if (options->roles[0])
        MU_TRY(mu_spec_parse_counts(log, "--roles", options->roles, request.counts));
    MU_TRY(mu_spec_load(log, &request, false, &spec));
    print_spec(&spec);
    mu_spec_finish(&spec);
    return MU_OK;
}

static int run_check(struct mu_log *log, const void *options, char *const *arguments)
{
    return mu_status_exit(check(log, options));
}

/* ---- muster spec make ---- */

#define EXAMPLE "as in `--worker 10.0.0.1:2222,10.0.0.2:2222`"

/* What the flags have said so far: the spec as a text, and what its rules are checked on. */
struct maker {
    struct mu_log *log;
    struct mu_text text;
    int counts[MU_ROLE_COUNT], total;
    struct mu_address *addresses; /* (total) */
};

static enum mu_status add_address(struct maker *maker, enum mu_role role, const char *item)
{
    char reason[96];
    size_t count = (size_t)maker->total + 1;
    void *more = realloc(maker->addresses, count * sizeof(*maker->addresses));
    if (!more)
        return mu_fail(maker->log, MU_E0801, NULL, "no memory for a spec of %zu tasks", count);
    maker->addresses = more;
    if (!mu_address_parse(item, &maker->addresses[maker->total], reason, sizeof(reason)))
        return mu_fail(
            maker->log, MU_E0108, EXAMPLE, "--%s: `%.60s` %s", mu_role_name(role), item, reason);
    mu_text_append(&maker->text, ",", maker->counts[role] > 0);
    mu_text_add_json_string(&maker->text, item);
    maker->counts[role]++;
    maker->total++;
    return MU_OK;
}

/* "a:1,b:1" -> "a:1","b:1" */
static enum mu_status add_addresses(struct maker *maker, enum mu_role role, const char *addresses)
{
    char copy[MU_CLI_PATH_MAX], *rest = copy;
    if (strlen(addresses) >= sizeof(copy))
        return mu_fail(maker->log, MU_E0001, "give the flag several times",
            "a list of addresses is longer than %zu bytes", sizeof(copy) - 1);
    mu_text_copy(copy, sizeof(copy), addresses);
    for (char *item; (item = strsep(&rest, ","));)
        MU_TRY(add_address(maker, role, item));
    return MU_OK;
}

static enum mu_status add_lists(struct maker *maker, const struct mu_cmd_spec_make_options *options)
{
    const struct mu_flag_list *const lists[MU_ROLE_COUNT] = {[MU_ROLE_CHIEF] = &options->chief,
        [MU_ROLE_WORKER] = &options->worker,
        [MU_ROLE_PS] = &options->ps,
        [MU_ROLE_EVALUATOR] = &options->evaluator};
    for (int role = 0; role < MU_ROLE_COUNT; role++) {
        if (lists[role]->count == 0)
            continue;
        mu_text_add(&maker->text, "%s\"%s\":[", maker->total > 0 ? "," : "",
            mu_role_name((enum mu_role)role));
        for (int i = 0; i < lists[role]->count; i++)
            MU_TRY(add_addresses(maker, (enum mu_role)role, lists[role]->item[i]));
        mu_text_add(&maker->text, "]");
    }
    return MU_OK;
}

/* The rules are those of any other spec. */
static enum mu_status make(struct mu_log *log, const struct mu_cmd_spec_make_options *options)
{
    struct maker maker = {.log = log};
    struct mu_spec spec = {0};
    mu_text_init(&maker.text);
    mu_text_add(&maker.text, "{\"cluster\":{");
    enum mu_status status = add_lists(&maker, options);
    mu_text_add(&maker.text, "}}");
    if (status == MU_OK)
        status = mu_spec_from_flags(log, maker.counts, maker.addresses,
            options->task[0] ? options->task : NULL, EXAMPLE, &spec);
    if (status == MU_OK && spec.self >= 0) {
        mu_text_clear(&maker.text);
        mu_spec_write_tf_config(&spec, spec.self, &maker.text);
    }
    if (status == MU_OK)
        printf("%s\n", maker.text.data);
    mu_spec_finish(&spec);
    mu_text_finish(&maker.text);
    free(maker.addresses);
    return status;
}

static int run_make(struct mu_log *log, const void *options, char *const *arguments)
{
    return mu_status_exit(make(log, options));
}

/* ---- rows ---- */

#define TEXT_FLAG(options, flag, field, called, text)                                              \
    {                                                                                              \
        .option = {.name = flag,                                                                   \
            .type = MU_OPTION_STRING,                                                              \
            .offset = offsetof(options, field),                                                    \
            .bytes = sizeof(((options *)NULL)->field),                                             \
            .fallback = "",                                                                        \
            .doc = text},                                                                          \
        .value = called                                                                            \
    }

/* Given several times, it adds. */
#define LIST_FLAG(options, flag, field, called, text)                                              \
    {                                                                                              \
        .option = {.name = flag,                                                                   \
            .type = MU_OPTION_STRING,                                                              \
            .offset = offsetof(options, field),                                                    \
            .doc = text},                                                                          \
        .value = called, .repeated = true                                                          \
    }

#define CHECK struct mu_cmd_spec_options
#define MAKE struct mu_cmd_spec_make_options

static const struct mu_operand no_operands[] = {MU_OPERAND_NONE};
static const struct mu_flag check_flags[] = {
    TEXT_FLAG(CHECK, "cluster", cluster, "FILE", "the spec; without it the environment is read"),
    TEXT_FLAG(CHECK, "task", task, "TASK", "which task this is, as in worker/0"),
    TEXT_FLAG(CHECK, "roles", roles, "ROLES",
        "what the ranks of a launcher become, as in chief=1,worker=3,ps=2"),
    MU_FLAG_NONE,
};
static const struct mu_flag make_flags[] = {
    LIST_FLAG(MAKE, "chief", chief, "ADDRESS", "host:port of the chief"),
    LIST_FLAG(MAKE, "worker", worker, "ADDRESSES",
        "of the workers, with commas between; may be repeated"),
    LIST_FLAG(MAKE, "ps", ps, "ADDRESSES",
        "of the parameter servers, with commas between; may be repeated"),
    LIST_FLAG(MAKE, "evaluator", evaluator, "ADDRESS", "host:port of the evaluator"),
    TEXT_FLAG(MAKE, "task", task, "TASK", "adds which task it is for, as in worker/0"),
    MU_FLAG_NONE,
};
static const char *const check_examples[] = {
    "muster spec check", "muster spec check --cluster cluster.json --task worker/1", NULL};
static const char *const make_examples[] = {
    "muster spec make --worker h1:2222,h2:2222 > cluster.json",
    "export TF_CONFIG=$(muster spec make --chief h0:2222 --worker h1:2222 --ps h2:2222 "
    "--task ps/0)",
    NULL};

const struct mu_command mu_command_spec_check = {
    .name = "spec check",
    .doc = "checks a cluster spec and says what it means for each task",
    .details = "Reads the spec as `muster run` does: from --cluster, MUSTER_CLUSTER, TF_CONFIG, "
               "CLUSTER_SPEC, SageMaker, torchrun, Slurm or Open MPI. Prints every task with its "
               "address and its replica number, who leads, and warnings. A spec that cannot train "
               "is an error with the place, the reason and the next thing to type.",
    .examples = check_examples,
    .flags = check_flags,
    .operands = no_operands,
    .option_bytes = sizeof(CHECK),
    .run = run_check,
};

const struct mu_command mu_command_spec_make = {
    .name = "spec make",
    .doc = "writes a cluster spec from addresses",
    .examples = make_examples,
    .flags = make_flags,
    .operands = no_operands,
    .option_bytes = sizeof(MAKE),
    .run = run_make,
};
