/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithm.h"
#include "roles/job/job_phases.h"
#include "roles/job/job_rows.h"
#include "runtime/device/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64
#define ALGORITHMS_MAX 32

/* The keys that another reader of the same section takes. */
struct also {
    const char *name[NAMES_MAX];
    size_t count;
};

static void add_name(struct also *also, const char *name)
{
    assert(also->count + 1 < NAMES_MAX); /* the last stays NULL */
    also->name[also->count++] = name;
}

static void add_names(struct also *also, const struct mu_option *rows)
{
    for (; rows->name; rows++)
        add_name(also, rows->name);
}

static enum mu_status fail_kind(struct mu_log *log, const struct mu_job *job,
    const struct mu_job_section *section, const char *name)
{
    const char *names[NAMES_MAX];
    struct mu_job_kind kind;
    struct mu_text expected;
    char path[MU_NAME_MAX], help[80], shown[40];
    size_t count = 0;
    mu_text_init(&expected);
    mu_text_add(&expected, "expected");
    for (; count < NAMES_MAX && section->kind(count, &kind); count++) {
        names[count] = kind.name;
        mu_text_add(&expected, "%s `%s`", count > 0 ? " or" : "", kind.name);
    }
    const char *nearest = mu_text_nearest(name, names, count);
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest ? nearest : "");
    mu_format(path, sizeof(path), "%s.%s", section->name, section->kind_key);
    mu_text_copy(shown, sizeof(shown), name);
    struct mu_place place = mu_json_place(job->json, path, false);
    enum mu_status status = mu_fail_at(log, MU_E0202, &place, expected.data, nearest ? help : NULL,
        "unknown %s `%s`", path, shown);
    mu_text_finish(&expected);
    return status;
}

static enum mu_status choose_kind(struct mu_log *log, const struct mu_job *job,
    const struct mu_job_section *section, const mu_json_value *object, struct mu_job_kind *ret_kind)
{
    const mu_json_value *value = object ? mu_json_member(object, section->kind_key) : NULL;
    const char *name = value && mu_json_type(value) == MU_JSON_STRING ? mu_json_string(value)
                                                                      : section->kind_fallback;
    char path[MU_NAME_MAX];
    mu_format(path, sizeof(path), "%s.%s", section->name, section->kind_key);
    if (value && mu_json_type(value) != MU_JSON_STRING) {
        struct mu_place place = mu_json_place(job->json, path, false);
        return mu_fail_at(log, MU_E0203, &place, "expected a string", NULL, "`%s` is %s", path,
            mu_json_type_name(mu_json_type(value)));
    }
    if (!name)
        return mu_fail(log, MU_E0203, "\"model\": {\"kind\": \"mlp\", \"widths\": [784, 128, 10]}",
            "%s: `%s` is missing", mu_json_source(job->json), path);
    return mu_job_kind_find(section, name, ret_kind) ? MU_OK : fail_kind(log, job, section, name);
}

/* The other kind of this section that has the option `key`. */
static bool find_owner(
    const struct mu_job_section *section, const char *key, struct mu_job_kind *ret_owner)
{
    for (size_t i = 0; section->kind(i, ret_owner); i++)
        if (mu_options_find(ret_owner->options, key))
            return true;
    return false;
}

/* A key that belongs to another kind is not misspelt: it has stayed when the kind was changed. */
static enum mu_status check_owners(struct mu_log *log, const struct mu_job *job,
    const struct mu_job_section *section, const mu_json_value *object,
    const struct mu_job_kind *kind)
{
    for (size_t i = 0; object && i < mu_json_count(object); i++) {
        const char *key = mu_json_key(object, i);
        struct mu_job_kind owner;
        if (strcmp(key, section->kind_key) == 0 || mu_options_find(section->rows, key) ||
            mu_options_find(kind->options, key) || !find_owner(section, key, &owner))
            continue;
        char path[2 * MU_NAME_MAX], help[3 * MU_NAME_MAX];
        mu_format(path, sizeof(path), "%s.%.60s", section->name, key);
        mu_format(help, sizeof(help), "leave it out, or use --set %s.%s=%s", section->name,
            section->kind_key, owner.name);
        struct mu_place place = mu_json_place(job->json, path, true);
        return mu_fail_at(log, MU_E0202, &place, NULL, help,
            "`%s` is an option of `%s`, not of `%s`", path, owner.name, kind->name);
    }
    return MU_OK;
}

/* A section has rows of its own and those of its driver: one object, read twice. */
static enum mu_status read_section(
    struct mu_log *log, struct mu_job *job, const struct mu_job_section *section)
{
    const mu_json_value *object = mu_json_member(mu_json_root(job->json), section->name);
    void *own = (char *)job + section->offset;
    struct mu_job_kind kind = {0};
    struct also for_own = {0}, for_kind = {0};
    if (!section->kind)
        return mu_options_read(log, job->json, object, section->name, section->rows, NULL, own);
    if (object && mu_json_type(object) != MU_JSON_OBJECT)
        return mu_options_read(log, job->json, object, section->name, section->rows, NULL, own);
    MU_TRY(choose_kind(log, job, section, object, &kind));
    MU_TRY(check_owners(log, job, section, object, &kind));
    if (!mu_options_find(section->rows, section->kind_key)) {
        add_name(&for_own, section->kind_key);
        add_name(&for_kind, section->kind_key);
    }
    if (section->list_key) {
        add_name(&for_own, section->list_key);
        add_name(&for_kind, section->list_key);
    }
    add_names(&for_own, kind.options);
    add_names(&for_kind, section->rows);
    void *options = calloc(1, kind.option_bytes + 1);
    if (!options)
        return mu_fail(log, MU_E0801, NULL, "no memory for the options of %s", section->name);
    memcpy((char *)job + section->ops_offset, &kind.ops, sizeof(kind.ops));
    *mu_job_options_field(section, job) = options;
    if (section->rows->name)
        MU_TRY(mu_options_read(
            log, job->json, object, section->name, section->rows, for_own.name, own));
    return mu_options_read(
        log, job->json, object, section->name, kind.options, for_kind.name, options);
}

/* "configs/mnist-sync.json" -> "mnist-sync" */
static void name_after_file(struct mu_job *job, const char *path)
{
    const char *slash = strrchr(path, '/');
    char name[MU_NAME_MAX];
    mu_text_copy(name, sizeof(name), slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && strcmp(dot, ".json") == 0)
        *dot = '\0';
    mu_text_copy(job->name, sizeof(job->name), mu_text_is_name(name) ? name : "job");
}

static enum mu_status read_name(struct mu_log *log, struct mu_job *job, const char *path)
{
    const mu_json_value *value = mu_json_member(mu_json_root(job->json), "name");
    if (!value) {
        name_after_file(job, path);
        return MU_OK;
    }
    if (mu_text_is_name(job->name))
        return MU_OK;
    struct mu_place place = mu_json_place(job->json, "name", false);
    return mu_fail_at(log, MU_E0203, &place,
        "expected letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first", NULL,
        "`name` cannot name a directory");
}

/* One of `names`, or an unknown name at `path` with the nearest one. */
static enum mu_status check_name(struct mu_log *log, const struct mu_job *job, const char *path,
    const char *value, const char *const names[], size_t count, const char *where)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], value) == 0)
            return MU_OK;
    char help[80];
    const char *nearest = mu_text_nearest(value, names, count);
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest ? nearest : "");
    struct mu_place place = mu_json_place(job->json, path, false);
    return mu_fail_at(log, MU_E0202, &place, where, nearest ? help : NULL, "unknown %s `%.40s`",
        strchr(path, '.') + 1, value);
}

static enum mu_status check_device(struct mu_log *log, const struct mu_job *job)
{
    size_t count = 0;
    while (mu_device_names[count])
        count++;
    return check_name(log, job, "train.device", job->train.device, mu_device_names, count,
        "`muster doctor` lists the devices");
}

static enum mu_status check_algorithm(struct mu_log *log, const struct mu_job *job)
{
    const char *names[ALGORITHMS_MAX];
    char where[256] = "expected one of";
    size_t count = 0;
    for (; mu_algorithms[count] && count < ALGORITHMS_MAX; count++) {
        names[count] = mu_algorithms[count]->name;
        size_t used = strlen(where);
        snprintf(where + used, sizeof(where) - used, "%s %s", count ? "," : "", names[count]);
    }
    if (!job->mode.algorithm[0])
        return MU_OK;
    return check_name(log, job, "mode.algorithm", job->mode.algorithm, names, count, where);
}

static enum mu_status check_root(struct mu_log *log, const struct mu_json *json)
{
    enum mu_json_type type = mu_json_type(mu_json_root(json));
    struct mu_place place = mu_json_place(json, "", false);
    if (type == MU_JSON_OBJECT)
        return MU_OK;
    return mu_fail_at(log, MU_E0203, &place, "expected {\"model\": {...}, ...}", NULL,
        "a job must be an object, not %s", mu_json_type_name(type));
}

static enum mu_status read_job(struct mu_log *log, const char *path, struct mu_job *job)
{
    struct also sections = {0};
    const mu_json_value *root = mu_json_root(job->json);
    for (int i = 0; i < MU_JOB_SECTIONS; i++)
        add_name(&sections, mu_job_sections[i].name);
    MU_TRY(check_root(log, job->json));
    MU_TRY(mu_options_read(log, job->json, root, "", mu_job_root_rows, sections.name, job));
    MU_TRY(read_name(log, job, path));
    for (int i = 0; i < MU_JOB_SECTIONS; i++)
        MU_TRY(read_section(log, job, &mu_job_sections[i]));
    MU_TRY(mu_job_phases_read(log, job));
    MU_TRY(check_device(log, job));
    MU_TRY(check_algorithm(log, job));
    job->hash = mu_job_hash(job);
    return MU_OK;
}

/* A section that is to take a change must be one: where the file has something else there, the file
 * is wrong and not the flag. */
static enum mu_status check_section(
    struct mu_log *log, const struct mu_json *json, const char *path)
{
    static const struct mu_option none[] = {{.name = NULL}};
    size_t bytes = strcspn(path, ".");
    MU_TRY(check_root(log, json));
    for (int i = 0; i < MU_JOB_SECTIONS; i++) {
        const char *name = mu_job_sections[i].name;
        if (path[bytes] != '.' || strlen(name) != bytes || memcmp(name, path, bytes) != 0)
            continue;
        const mu_json_value *section = mu_json_member(mu_json_root(json), name);
        if (section && mu_json_type(section) != MU_JSON_OBJECT)
            return mu_options_read(log, json, section, name, none, NULL, NULL);
    }
    return MU_OK;
}

static enum mu_status apply_set(struct mu_log *log, struct mu_json *json, const char *set)
{
    char path[2 * MU_NAME_MAX];
    const char *equals = strchr(set, '=');
    if (!equals || equals == set || (size_t)(equals - set) >= sizeof(path))
        return mu_fail(log, MU_E0001, "as in --set data.path=DIR",
            "--set `%.60s` is not section.key=value", set);
    mu_text_copy(path, (size_t)(equals - set) + 1, set);
    MU_TRY(check_section(log, json, path));
    return mu_json_set(log, json, path, equals + 1);
}

/* Takes the document. */
static enum mu_status make_job(
    struct mu_log *log, struct mu_json *json, const char *source, struct mu_job **ret_job)
{
    struct mu_job *job = calloc(1, sizeof(*job));
    if (!job) {
        mu_json_destroy(json);
        return mu_fail(log, MU_E0801, NULL, "no memory for a job");
    }
    job->json = json;
    enum mu_status status = read_job(log, source, job);
    if (status == MU_OK)
        *ret_job = job;
    else
        mu_job_destroy(job);
    return status;
}

enum mu_status mu_job_load(
    struct mu_log *log, const char *path, const char *const sets[], struct mu_job **ret_job)
{
    struct mu_json *json;
    enum mu_status status = MU_OK;
    MU_TRY(mu_json_read(log, MU_E0201, path, &json));
    for (size_t i = 0; sets && sets[i] && status == MU_OK; i++)
        status = apply_set(log, json, sets[i]);
    if (status == MU_OK)
        return make_job(log, json, path, ret_job);
    mu_json_destroy(json);
    return status;
}

enum mu_status mu_job_parse(
    struct mu_log *log, const char *source, const char *text, size_t bytes, struct mu_job **ret_job)
{
    struct mu_json *json;
    MU_TRY(mu_json_parse(log, MU_E0201, source, text, bytes, &json));
    return make_job(log, json, source, ret_job);
}

void mu_job_destroy(struct mu_job *job)
{
    if (!job)
        return;
    for (int i = 0; i < MU_JOB_SECTIONS; i++)
        if (mu_job_sections[i].kind)
            free(*mu_job_options_field(&mu_job_sections[i], job));
    mu_job_phases_finish(job);
    mu_json_destroy(job->json);
    free(job);
}
