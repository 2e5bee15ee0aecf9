/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include <stdlib.h>
#include <string.h>

#define MU_ROLE_TEXT(name, text) text,
static const char *const role_names[] = {MU_ROLE_ROWS(MU_ROLE_TEXT)};
#undef MU_ROLE_TEXT

const char *mu_role_name(enum mu_role role)
{
    assert(role < MU_ROLE_COUNT);
    return role_names[role];
}

void mu_task_name(const struct mu_task *task, char *out, size_t bytes)
{
    mu_format(out, bytes, "%s/%d", mu_role_name(task->role), task->index);
}

bool mu_task_parse(const char *text, enum mu_role *ret_role, int *ret_index)
{
    char name[16];
    int64_t index = 0;
    enum mu_role role = MU_ROLE_CHIEF;
    size_t length = strcspn(text, "/:");
    if (length >= sizeof(name))
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    if (!mu_spec_role_parse(name, &role))
        return false;
    if (text[length] == '\0') { /* "chief": the index of what there is only one of */
        if (role != MU_ROLE_CHIEF && role != MU_ROLE_EVALUATOR)
            return false;
    } else {
        const char *digits = text + length + 1;
        if (digits[0] == '\0' || strspn(digits, "0123456789") != strlen(digits) ||
            !mu_text_to_int64(digits, &index) || index > MU_TASK_INDEX_MAX)
            return false;
    }
    *ret_role = role;
    *ret_index = (int)index;
    return true;
}

int mu_spec_find(const struct mu_spec *spec, enum mu_role role, int index)
{
    for (int i = 0; i < spec->task_count; i++)
        if (spec->task[i].role == role && spec->task[i].index == index)
            return i;
    return -1;
}

/* The replicas come first among the tasks: chief, then workers. */
int mu_spec_replica(const struct mu_spec *spec, int replica)
{
    return replica >= 0 && replica < spec->replica_count ? replica : -1;
}

int mu_spec_ps(const struct mu_spec *spec, int order)
{
    return order >= 0 && order < spec->ps_count ? spec->replica_count + order : -1;
}

int mu_spec_ps_order(const struct mu_spec *spec, int task)
{
    int order = task - spec->replica_count;
    return order >= 0 && order < spec->ps_count ? order : -1;
}

void mu_spec_finish(struct mu_spec *spec)
{
    free(spec->task);
    *spec = (struct mu_spec){0};
}

static uint64_t hash_of(const struct mu_spec *spec, bool *ret_failed)
{
    struct mu_text text;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a (Fowler, Noll, Vo 1991), 64 bits */
    mu_text_init(&text);
    mu_spec_write(spec, &text);
    for (size_t i = 0; i < text.bytes; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
    *ret_failed = text.failed;
    mu_text_finish(&text);
    return hash;
}

static void number_tasks(struct mu_spec *spec)
{
    for (int i = 0; i < spec->task_count; i++) {
        struct mu_task *task = &spec->task[i];
        bool trains = task->role == MU_ROLE_CHIEF || task->role == MU_ROLE_WORKER;
        task->replica = trains ? spec->replica_count++ : -1;
        spec->ps_count += task->role == MU_ROLE_PS;
        spec->evaluator_count += task->role == MU_ROLE_EVALUATOR;
    }
}

enum mu_status mu_spec_assemble(struct mu_log *log, const struct mu_spec_draft *draft,
    bool has_task, enum mu_role role, int index, struct mu_spec *ret_spec)
{
    struct mu_spec spec = {.self = -1};
    bool failed = false;
    spec.task = calloc((size_t)draft->count + 1, sizeof(*spec.task));
    if (!spec.task)
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %d tasks", draft->count);
    for (int i = 0; i < draft->count; i++)
        spec.task[spec.task_count++] = draft->entry[i].task;
    if (has_task && role == MU_ROLE_EVALUATOR && mu_spec_find(&spec, role, index) < 0)
        spec.task[spec.task_count++] = (struct mu_task){.role = role, .index = index};
    number_tasks(&spec);
    if (has_task)
        spec.self = mu_spec_find(&spec, role, index);
    mu_text_copy(spec.origin, sizeof(spec.origin), draft->origin);
    spec.hash = hash_of(&spec, &failed);
    if (failed) {
        mu_spec_finish(&spec);
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %d tasks", draft->count);
    }
    *ret_spec = spec;
    return MU_OK;
}

static enum mu_status make_draft(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, const char *origin, const char *example,
    struct mu_spec_draft *ret_draft)
{
    struct mu_spec_draft draft = {.example = example};
    int64_t total = 0;
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        total += counts[role];
    if (total > MU_TASKS_MAX)
        return mu_fail(log, MU_E0103, "start fewer tasks, each with more threads",
            "%s: a cluster of %lld tasks, at most %d", origin, (long long)total, MU_TASKS_MAX);
    draft.entry = calloc((size_t)total + 1, sizeof(*draft.entry));
    if (!draft.entry)
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %lld tasks", (long long)total);
    mu_text_copy(draft.origin, sizeof(draft.origin), origin);
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        for (int i = 0; i < counts[role]; i++) {
            draft.entry[draft.count].task = (struct mu_task){
                .role = (enum mu_role)role, .index = i, .address = addresses[draft.count]};
            draft.count++;
        }
    enum mu_status status = mu_spec_check(log, &draft);
    if (status != MU_OK) {
        mu_spec_draft_finish(&draft);
        return status;
    }
    *ret_draft = draft;
    return MU_OK;
}

enum mu_status mu_spec_draft_make(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, const char *origin, struct mu_spec_draft *ret_draft)
{
    return make_draft(log, counts, addresses, origin, NULL, ret_draft);
}

enum mu_status mu_spec_from_addresses(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, int self, const char *origin, struct mu_spec *ret_spec)
{
    struct mu_spec_draft draft = {0};
    MU_TRY(mu_spec_draft_make(log, counts, addresses, origin, &draft));
    assert(self >= -1);
    assert(self < draft.count);
    struct mu_task task = self < 0 ? (struct mu_task){0} : draft.entry[self].task;
    enum mu_status status =
        mu_spec_assemble(log, &draft, self >= 0, task.role, task.index, ret_spec);
    mu_spec_draft_finish(&draft);
    return status;
}

enum mu_status mu_spec_make(struct mu_log *log, const int counts[MU_ROLE_COUNT], const char *host,
    const int *ports, struct mu_spec *ret_spec)
{
    int total = 0;
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        total += counts[role];
    struct mu_address *addresses = calloc((size_t)total + 1, sizeof(*addresses));
    if (!addresses)
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %d tasks", total);
    for (int i = 0; i < total; i++) {
        mu_text_copy(addresses[i].host, sizeof(addresses[i].host), host);
        addresses[i].port = ports[i];
    }
    enum mu_status status =
        mu_spec_from_addresses(log, counts, addresses, -1, "made here", ret_spec);
    free(addresses);
    return status;
}

static enum mu_status parse_task(
    struct mu_log *log, const char *task, enum mu_role *ret_role, int *ret_index)
{
    return !task || mu_task_parse(task, ret_role, ret_index)
               ? MU_OK
               : mu_fail(log, MU_E0107, "write it as worker/0", "`%.40s` is no task", task);
}

/* `task` has been parsed into role and index; NULL: the draft may say which it is. */
static enum mu_status assemble(struct mu_log *log, struct mu_spec_draft *draft, const char *task,
    enum mu_role role, int index, struct mu_spec *ret_spec)
{
    bool has_task = task || draft->has_task;
    enum mu_status status = MU_OK;
    if (task)
        status = mu_spec_check_task(log, draft, role, index, "--task");
    if (status == MU_OK)
        status = mu_spec_assemble(
            log, draft, has_task, task ? role : draft->role, task ? index : draft->index, ret_spec);
    mu_spec_draft_finish(draft);
    return status;
}

enum mu_status mu_spec_parse(struct mu_log *log, const char *origin, const char *text, size_t bytes,
    const char *task, struct mu_spec *ret_spec)
{
    struct mu_spec_draft draft = {0};
    enum mu_role role = MU_ROLE_CHIEF;
    int index = 0;
    MU_TRY(parse_task(log, task, &role, &index));
    MU_TRY(mu_spec_draft_parse(log, origin, text, bytes, &draft));
    return assemble(log, &draft, task, role, index, ret_spec);
}

enum mu_status mu_spec_from_flags(struct mu_log *log, const int counts[MU_ROLE_COUNT],
    const struct mu_address *addresses, const char *task, const char *example,
    struct mu_spec *ret_spec)
{
    struct mu_spec_draft draft = {0};
    enum mu_role role = MU_ROLE_CHIEF;
    int index = 0;
    MU_TRY(parse_task(log, task, &role, &index));
    MU_TRY(make_draft(log, counts, addresses, "the command line", example, &draft));
    return assemble(log, &draft, task, role, index, ret_spec);
}

static enum mu_status parse_count(struct mu_log *log, const char *flag, const char *item,
    bool single, int counts[MU_ROLE_COUNT], bool seen[MU_ROLE_COUNT])
{
    char name[32] = "worker", help[64];
    enum mu_role role = MU_ROLE_WORKER;
    int64_t count = 0;
    const char *equals = strchr(item, '=');
    if (equals)
        mu_text_copy(
            name, (size_t)(equals - item) < sizeof(name) ? (size_t)(equals - item) + 1 : 32, item);
    const char *nearest = mu_spec_role_nearest(name);
    mu_format(help, sizeof(help), nearest ? "did you mean `%s`?" : "as in chief=1,worker=3,ps=2",
        nearest);
    if ((!equals && !single) || !mu_spec_role_parse(name, &role))
        return mu_fail(log, MU_E0001, help,
            "%s: `%.40s` is not chief=N, worker=N, ps=N or evaluator=N", flag, item);
    int most = role == MU_ROLE_CHIEF || role == MU_ROLE_EVALUATOR ? 1 : MU_TASKS_MAX;
    if (!mu_text_to_int64(equals ? equals + 1 : item, &count) || count < 0 || count > most)
        return mu_fail(log, MU_E0001, "as in chief=1,worker=3,ps=2",
            "%s: `%.40s`: the number of %s must be from 0 to %d", flag, item, mu_role_name(role),
            most);
    if (seen[role])
        return mu_fail(log, MU_E0001, NULL, "%s: %s is given twice", flag, mu_role_name(role));
    seen[role] = true;
    counts[role] = (int)count;
    return MU_OK;
}

enum mu_status mu_spec_parse_counts(
    struct mu_log *log, const char *flag, const char *text, int ret_counts[MU_ROLE_COUNT])
{
    int counts[MU_ROLE_COUNT] = {0}, total = 0;
    bool seen[MU_ROLE_COUNT] = {false};
    char copy[256], *rest = copy;
    if (strlen(text) >= sizeof(copy))
        return mu_fail(log, MU_E0001, "as in chief=1,worker=3,ps=2", "%s: too long", flag);
    mu_text_copy(copy, sizeof(copy), text);
    for (char *item; (item = strsep(&rest, ","));)
        MU_TRY(parse_count(log, flag, item, !strchr(text, ','), counts, seen));
    for (int role = 0; role < MU_ROLE_COUNT; role++)
        total += counts[role];
    if (total > MU_TASKS_MAX)
        return mu_fail(log, MU_E0001, NULL, "%s: %d tasks, at most %d", flag, total, MU_TASKS_MAX);
    if (counts[MU_ROLE_CHIEF] + counts[MU_ROLE_WORKER] == 0)
        return mu_fail(log, MU_E0001, "as in chief=1,worker=3,ps=2",
            "%s: no chief and no worker: nobody would train", flag);
    memcpy(ret_counts, counts, sizeof(counts));
    return MU_OK;
}
