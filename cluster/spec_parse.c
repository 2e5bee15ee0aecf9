/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/spec_inside.h"
#include "runtime/base/json_scan.h"
#include "runtime/base/log_quiet.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WARNINGS_MAX 8 /* of keys that are ignored; the others are counted */
/* Keys and values of a text that is read at all: several times those of the largest cluster. */
#define TOKENS_MAX (8 * MU_TASKS_MAX)

static const char *const role_keys[] = {"chief", "worker", "ps", "evaluator"};
static const char *const root_keys[] = {"cluster", "task"};
/* What other systems put beside cluster and task, and what means nothing here. */
static const char *const foreign_root_keys[] = {"environment", "rpc_layer", "job", "session_master",
    "eval_session_master", "service", "model_dir", "open_ports", "sparseCluster"};
static const char *const task_keys[] = {"type", "index", "trial", "cloud"};

static bool is_one_of(const char *name, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool mu_spec_role_parse(const char *name, enum mu_role *ret_role)
{
    static const struct {
        const char *name;
        enum mu_role role;
    } names[] = {{"chief", MU_ROLE_CHIEF}, {"worker", MU_ROLE_WORKER}, {"ps", MU_ROLE_PS},
        {"evaluator", MU_ROLE_EVALUATOR}, {"master", MU_ROLE_CHIEF}, {"workerpool0", MU_ROLE_CHIEF},
        {"workerpool1", MU_ROLE_WORKER}, {"workerpool2", MU_ROLE_PS},
        {"workerpool3", MU_ROLE_EVALUATOR}};
    for (size_t i = 0; i < MU_COUNT_OF(names); i++)
        if (strcmp(name, names[i].name) == 0) {
            *ret_role = names[i].role;
            return true;
        }
    return false;
}

const char *mu_spec_role_nearest(const char *name)
{
    return mu_text_nearest(name, role_keys, MU_COUNT_OF(role_keys));
}

/* Text of the user's in a message: short, and nothing that a terminal would obey. */
static const char *shown(const char *text, char out[40])
{
    mu_text_copy(out, 36, text);
    if (strlen(text) > strlen(out))
        strcat(out, "...");
    for (char *at = out; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = '?';
    return out;
}

enum mu_status mu_spec_fail(struct mu_log *log, enum mu_error error,
    const struct mu_spec_draft *draft, const char *path, const char *expected, const char *help,
    const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (!help && draft->example)
        help = draft->example;
    if (!help)
        help = "`muster spec make` writes a spec, `muster spec check` explains one";
    if (!draft->json || !path)
        return mu_fail(log, error, help, "%s: %s", draft->origin, text);
    struct mu_place place = mu_json_place(draft->json, path, false);
    return mu_fail_at(log, error, &place, expected, help, "%s", text);
}

static enum mu_status fail_key(struct mu_log *log, enum mu_error error,
    const struct mu_spec_draft *draft, const char *path, const char *expected, const char *nearest,
    const char *text)
{
    char help[64] = "";
    struct mu_place place = mu_json_place(draft->json, path, true);
    if (nearest)
        mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    return mu_fail_at(log, error, &place, expected, nearest ? help : NULL, "%s", text);
}

static void warn_of_more(
    struct mu_log *log, const struct mu_spec_draft *draft, size_t ignored, const char *where)
{
    if (ignored > WARNINGS_MAX)
        mu_say(log, MU_LEVEL_WARN, "%s: %zu more unknown keys%s are ignored", draft->origin,
            ignored - WARNINGS_MAX, where);
}

/* An unknown key is only a warning, except where it is nearly the name of a key that is missing. */
static enum mu_status check_root_keys(struct mu_log *log, const struct mu_spec_draft *draft)
{
    const mu_json_value *root = mu_json_root(draft->json);
    size_t ignored = 0;
    for (size_t i = 0; i < mu_json_count(root); i++) {
        const char *key = mu_json_key(root, i);
        char name[40], text[80];
        if (is_one_of(key, root_keys, MU_COUNT_OF(root_keys)) ||
            is_one_of(key, foreign_root_keys, MU_COUNT_OF(foreign_root_keys)))
            continue;
        const char *nearest = mu_text_nearest(key, root_keys, MU_COUNT_OF(root_keys));
        mu_format(text, sizeof(text), "unknown key `%s`", shown(key, name));
        if (nearest && !mu_json_member(root, nearest)) {
            return fail_key(
                log, MU_E0105, draft, key, "expected `cluster` or `task`", nearest, text);
        }
        if (++ignored <= WARNINGS_MAX)
            mu_say(log, MU_LEVEL_WARN, "%s: %s is ignored%s%s%s", draft->origin, text,
                nearest ? ": did you mean `" : "", nearest ? nearest : "", nearest ? "`?" : "");
    }
    warn_of_more(log, draft, ignored, "");
    return MU_OK;
}

/* Who wrote brackets or colons meant IPv6, unless it is an IPv4 address all the same. */
static const char *help_for_address(const char *text, const char *reason)
{
    const char *colon = strchr(text, ':');
    bool six = strstr(reason, "[::1]") || (text[0] == '[' && colon && strchr(colon + 1, ':'));
    return six && !strstr(reason, "IPv4") ? "write an IPv6 address as \"[::1]:2222\""
                                          : "write it as \"10.0.0.1:2222\"";
}

static enum mu_status read_address(struct mu_log *log, const struct mu_spec_draft *draft,
    const mu_json_value *value, struct mu_spec_entry *entry)
{
    char reason[96];
    if (mu_json_type(value) != MU_JSON_STRING)
        return mu_spec_fail(log, MU_E0108, draft, entry->path, "expected \"host:port\"", NULL,
            "%s must be an address, not %s", entry->path, mu_json_type_name(mu_json_type(value)));
    const char *text = mu_json_string(value);
    if (mu_address_parse(text, &entry->task.address, reason, sizeof(reason)))
        return MU_OK;
    return mu_spec_fail(log, MU_E0108, draft, entry->path, NULL, help_for_address(text, reason),
        "%s %s", entry->path, reason);
}

static enum mu_status read_index_key(struct mu_log *log, const struct mu_spec_draft *draft,
    const char *role_key, const char *key, int *ret_index)
{
    int64_t index = 0;
    char path[3 * MU_SPEC_PATH_MAX], name[40];
    bool digits = key[0] != '\0' && strspn(key, "0123456789") == strlen(key);
    if (digits && mu_text_to_int64(key, &index) && index <= MU_TASK_INDEX_MAX) {
        *ret_index = (int)index;
        return MU_OK;
    }
    shown(key, name);
    char text[128];
    mu_format(text, sizeof(text), "`%s` in cluster.%s is not the index of a task", name, role_key);
    mu_format(path, sizeof(path), "cluster.%s.%s", role_key, strlen(key) < 64 ? key : name);
    return fail_key(log, MU_E0105, draft, path, "expected a number from 0 to 65535", NULL, text);
}

static enum mu_status read_role(struct mu_log *log, struct mu_spec_draft *draft, const char *key,
    const mu_json_value *tasks, enum mu_role role)
{
    bool list = mu_json_type(tasks) == MU_JSON_ARRAY;
    for (size_t i = 0; i < mu_json_count(tasks); i++) {
        struct mu_spec_entry *entry = &draft->entry[draft->count];
        *entry = (struct mu_spec_entry){.task = {.role = role, .index = (int)i}};
        if (list) {
            mu_format(entry->path, sizeof(entry->path), "cluster.%s[%zu]", key, i);
        } else {
            const char *index = mu_json_key(tasks, i);
            MU_TRY(read_index_key(log, draft, key, index, &entry->task.index));
            mu_format(entry->path, sizeof(entry->path), "cluster.%s.%.12s", key, index);
        }
        MU_TRY(read_address(
            log, draft, list ? mu_json_element(tasks, i) : mu_json_member_at(tasks, i), entry));
        draft->count++;
    }
    return MU_OK;
}

/* The names and the types of the roles, and how many tasks there are in all. */
static enum mu_status survey_roles(struct mu_log *log, const struct mu_spec_draft *draft,
    const mu_json_value *cluster, size_t *ret_total)
{
    const char *taken[MU_ROLE_COUNT] = {NULL};
    size_t total = 0;
    for (size_t i = 0; i < mu_json_count(cluster); i++) {
        const char *key = mu_json_key(cluster, i);
        char name[40], text[160], path[64];
        enum mu_role role = MU_ROLE_CHIEF;
        mu_format(path, sizeof(path), "cluster.%s", shown(key, name));
        if (!mu_spec_role_parse(key, &role)) {
            mu_format(text, sizeof(text), "unknown task type `%s`", name);
            return fail_key(log, MU_E0104, draft, path,
                "expected `chief`, `worker`, `ps` or `evaluator`", mu_spec_role_nearest(key), text);
        }
        if (taken[role]) {
            mu_format(text, sizeof(text), "`%s` and `%s` both mean %s", taken[role], key,
                mu_role_name(role));
            return fail_key(log, MU_E0106, draft, path, "keep one of them", NULL, text);
        }
        taken[role] = key;
        const mu_json_value *tasks = mu_json_member_at(cluster, i);
        enum mu_json_type type = mu_json_type(tasks);
        if (type != MU_JSON_ARRAY && type != MU_JSON_OBJECT)
            return mu_spec_fail(log, MU_E0105, draft, path,
                "expected [\"host:port\", ...] or {\"0\": \"host:port\", ...}", NULL,
                "%s must be a list or an object of addresses, not %s", path,
                mu_json_type_name(type));
        total += mu_json_count(tasks);
        if (total > MU_TASKS_MAX)
            return mu_spec_fail(log, MU_E0103, draft, path, NULL, NULL,
                "the cluster has more than %d tasks: %s alone has %zu", MU_TASKS_MAX, path,
                mu_json_count(tasks));
    }
    *ret_total = total;
    return MU_OK;
}

static enum mu_status read_cluster(struct mu_log *log, struct mu_spec_draft *draft)
{
    const mu_json_value *cluster = mu_json_member(mu_json_root(draft->json), "cluster");
    size_t total = 0;
    if (!cluster)
        return mu_spec_fail(log, MU_E0105, draft, "", "expected a key `cluster` in here",
            "{\"cluster\": {\"worker\": [\"10.0.0.1:2222\", \"10.0.0.2:2222\"]}, \"task\": ...}",
            "the spec has no `cluster`");
    if (mu_json_type(cluster) != MU_JSON_OBJECT)
        return mu_spec_fail(log, MU_E0105, draft, "cluster",
            "expected {\"worker\": [\"host:port\", ...]}", NULL,
            "`cluster` must be an object of task types, not %s",
            mu_json_type_name(mu_json_type(cluster)));
    MU_TRY(survey_roles(log, draft, cluster, &total));
    draft->entry = calloc(total + 1, sizeof(*draft->entry));
    if (!draft->entry)
        return mu_fail(log, MU_E0801, NULL, "no memory for a spec of %zu tasks", total);
    for (size_t i = 0; i < mu_json_count(cluster); i++) {
        enum mu_role role = MU_ROLE_CHIEF;
        const char *key = mu_json_key(cluster, i);
        if (mu_spec_role_parse(key, &role))
            MU_TRY(read_role(log, draft, key, mu_json_member_at(cluster, i), role));
    }
    return MU_OK;
}

static enum mu_status read_task_type(
    struct mu_log *log, struct mu_spec_draft *draft, const mu_json_value *task)
{
    const mu_json_value *type = mu_json_member(task, "type");
    const char *expected = "expected `chief`, `worker`, `ps` or `evaluator`";
    if (!type)
        return mu_spec_fail(log, MU_E0107, draft, "task", NULL,
            "\"task\": {\"type\": \"worker\", \"index\": 0}", "`task` has no `type`");
    if (mu_json_type(type) != MU_JSON_STRING)
        return mu_spec_fail(log, MU_E0107, draft, "task.type", expected, NULL,
            "task.type must be a string, not %s", mu_json_type_name(mu_json_type(type)));
    if (mu_spec_role_parse(mu_json_string(type), &draft->role))
        return MU_OK;
    char name[40], help[64];
    const char *nearest = mu_spec_role_nearest(mu_json_string(type));
    if (nearest)
        mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    return mu_spec_fail(log, MU_E0104, draft, "task.type", expected, nearest ? help : NULL,
        "unknown task type `%s`", shown(mu_json_string(type), name));
}

/* An integer or a string of digits: 1.0, true and " 1" are not what a launcher meant to write. */
static enum mu_status read_task_index(
    struct mu_log *log, struct mu_spec_draft *draft, const mu_json_value *task)
{
    const mu_json_value *value = mu_json_member(task, "index");
    if (!value)
        return mu_spec_fail(log, MU_E0107, draft, "task", NULL,
            "\"task\": {\"type\": \"worker\", \"index\": 0}", "`task` has no `index`");
    enum mu_json_type type = mu_json_type(value);
    int64_t index = -1;
    char given[40];
    bool valid = type == MU_JSON_INTEGER;
    if (valid) {
        index = mu_json_integer(value);
        mu_format(given, sizeof(given), "%" PRId64, index);
    }
    if (type == MU_JSON_STRING) {
        const char *text = mu_json_string(value);
        shown(text, given);
        valid = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
        if (valid && !mu_text_to_int64(text, &index))
            index = INT64_MAX;
    }
    if (!valid)
        return mu_spec_fail(log, MU_E0107, draft, "task.index",
            "expected an integer or a string of digits", NULL,
            "task.index must be an integer, not %s",
            type == MU_JSON_STRING ? "a string that is not one" : mu_json_type_name(type));
    if (index < 0 || index > MU_TASK_INDEX_MAX) {
        char tasks[200];
        mu_spec_describe_tasks(draft, tasks, sizeof(tasks));
        return mu_spec_fail(log, MU_E0107, draft, "task.index", NULL, NULL,
            "index %s is out of range: the cluster has %s", given, tasks);
    }
    draft->index = (int)index;
    return MU_OK;
}

static enum mu_status read_task(struct mu_log *log, struct mu_spec_draft *draft)
{
    const mu_json_value *task = mu_json_member(mu_json_root(draft->json), "task");
    if (!task)
        return MU_OK;
    if (mu_json_type(task) != MU_JSON_OBJECT)
        return mu_spec_fail(log, MU_E0105, draft, "task",
            "expected {\"type\": \"worker\", \"index\": 0}", NULL,
            "`task` must be an object, not %s", mu_json_type_name(mu_json_type(task)));
    size_t ignored = 0;
    for (size_t i = 0; i < mu_json_count(task); i++) {
        char name[40];
        const char *key = mu_json_key(task, i);
        if (!is_one_of(key, task_keys, MU_COUNT_OF(task_keys)) && ++ignored <= WARNINGS_MAX)
            mu_say(log, MU_LEVEL_WARN, "%s: unknown key `task.%s` is ignored", draft->origin,
                shown(key, name));
    }
    warn_of_more(log, draft, ignored, " in `task`");
    MU_TRY(read_task_type(log, draft, task));
    MU_TRY(read_task_index(log, draft, task));
    draft->has_task = true;
    return MU_OK;
}

static enum mu_status read_draft(struct mu_log *log, struct mu_spec_draft *draft)
{
    const mu_json_value *root = mu_json_root(draft->json);
    if (mu_json_type(root) != MU_JSON_OBJECT)
        return mu_spec_fail(log, MU_E0105, draft, "",
            "expected {\"cluster\": {...}, \"task\": {...}}", NULL,
            "the spec must be an object, not %s", mu_json_type_name(mu_json_type(root)));
    MU_TRY(check_root_keys(log, draft));
    MU_TRY(read_cluster(log, draft));
    MU_TRY(mu_spec_check(log, draft));
    MU_TRY(read_task(log, draft));
    if (!draft->has_task)
        return MU_OK;
    return mu_spec_check_task(log, draft, draft->role, draft->index, "task");
}

/* Takes the document over, also on failure. */
static enum mu_status take_document(
    struct mu_log *log, struct mu_json *json, struct mu_spec_draft *ret_draft)
{
    struct mu_spec_draft draft = {.json = json};
    mu_text_copy(draft.origin, sizeof(draft.origin), mu_json_source(json));
    enum mu_status status = read_draft(log, &draft);
    if (status != MU_OK) {
        mu_spec_draft_finish(&draft);
        return status;
    }
    *ret_draft = draft;
    return MU_OK;
}

static enum mu_status fail_too_large(struct mu_log *log, const char *origin, uint64_t bytes)
{
    char help[160];
    if (origin[0] == '$')
        mu_format(help, sizeof(help), "is it a spec? `printenv %.60s | head -c 300`", origin + 1);
    else
        mu_format(help, sizeof(help), "is it a spec? `head -c 300 %.120s`", origin);
    return mu_fail(log, MU_E0103, help, "%s is too large for a spec: %" PRIu64 " bytes, at most %d",
        origin, bytes, MU_JSON_BYTES_MAX);
}

static enum mu_status fail_empty(
    struct mu_log *log, const char *origin, const char *text, size_t bytes)
{
    char help[160] = "`muster spec make` writes a spec";
    struct mu_place place = {origin, text, bytes, 0, 1};
    if (origin[0] == '$')
        mu_format(help, sizeof(help),
            "`unset %.60s`, or set it to {\"cluster\": {\"worker\": "
            "[\"10.0.0.1:2222\", ...]}}",
            origin + 1);
    return mu_fail_at(log, MU_E0102, &place, NULL, help, "%s is empty", origin);
}

/* A text within its bytes may still be a tree of a hundred times as many: that is told from the
 * text. One that nests too deep is left to the parser. */
static enum mu_status check_extent(
    struct mu_log *log, const char *origin, const char *text, size_t bytes)
{
    struct mu_json_extent extent;
    char path[64];
    if (mu_json_scan_depth(text, bytes, MU_JSON_DEPTH_MAX) < bytes)
        return MU_OK;
    mu_json_scan_extent(text, bytes, &extent);
    if (extent.tokens <= TOKENS_MAX)
        return MU_OK;
    struct mu_place place = {origin, text, bytes, extent.widest_at, 1};
    mu_json_scan_path(text, bytes, extent.widest_at, path, sizeof(path));
    if (strncmp(path, "cluster.", 8) == 0 && extent.widest > MU_TASKS_MAX)
        return mu_fail_at(log, MU_E0103, &place, NULL, NULL,
            "the cluster has more than %d tasks: %s alone has %zu", MU_TASKS_MAX, path,
            extent.widest);
    return mu_fail_at(log, MU_E0103, &place, NULL, NULL,
        "the spec has %zu keys and values, at most %d", extent.tokens, TOKENS_MAX);
}

enum mu_status mu_spec_draft_parse(struct mu_log *log, const char *origin, const char *text,
    size_t bytes, struct mu_spec_draft *ret_draft)
{
    struct mu_json *json = NULL;
    if (bytes > MU_JSON_BYTES_MAX)
        return fail_too_large(log, origin, bytes);
    if (mu_json_scan_space(text, bytes, 0) == bytes)
        return fail_empty(log, origin, text, bytes);
    MU_TRY(check_extent(log, origin, text, bytes));
    MU_TRY(mu_json_parse(log, MU_E0102, origin, text, bytes, &json));
    return take_document(log, json, ret_draft);
}

/* A path that nobody has typed just now: where it comes from is half of what is wrong with it. */
static enum mu_status read_file(
    struct mu_log *log, const char *variable, const char *path, char **ret_text, size_t *ret_bytes)
{
    struct mu_log quiet = mu_log_quiet();
    char help[160];
    if (!variable)
        return mu_json_read_text(log, path, ret_text, ret_bytes);
    enum mu_status status = mu_json_read_text(&quiet, path, ret_text, ret_bytes);
    if (status != MU_NO_INPUT)
        return status;
    mu_format(
        help, sizeof(help), "`unset %s`, or set it to a file or to {\"cluster\": {...}}", variable);
    return mu_fail(log, MU_E0002, help, "$%s: %s", variable, quiet.first_text);
}

enum mu_status mu_spec_draft_file(
    struct mu_log *log, const char *variable, const char *path, struct mu_spec_draft *ret_draft)
{
    char *text = NULL;
    size_t bytes = 0;
    struct stat facts;
    if (stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > MU_JSON_BYTES_MAX)
        return fail_too_large(log, path, (uint64_t)facts.st_size);
    MU_TRY(read_file(log, variable, path, &text, &bytes));
    enum mu_status status = mu_spec_draft_parse(log, path, text, bytes, ret_draft);
    free(text);
    return status;
}

void mu_spec_draft_finish(struct mu_spec_draft *draft)
{
    mu_json_destroy(draft->json);
    free(draft->entry);
    *draft = (struct mu_spec_draft){0};
}
