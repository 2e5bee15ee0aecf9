/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options_value.h"
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 64
#define PATH_BYTES_MAX 256

/* The object that is being read, and where it lies. */
struct source {
    struct mu_log *log;
    const struct mu_json *json;
    const char *path; /* "optimizer" */
};

/* "optimizer.rate"; a path that is too long is cut, and its place is then the text's start. */
static void member_path(const struct source *source, const char *key, char out[PATH_BYTES_MAX])
{
    const char *dot = source->path[0] ? "." : "";
    if (snprintf(out, PATH_BYTES_MAX, "%s%s%s", source->path, dot, key) >= PATH_BYTES_MAX)
        mu_text_copy(out, PATH_BYTES_MAX, source->path);
}

static bool is_listed(const char *const list[], const char *name)
{
    for (; list && *list; list++) {
        if (strcmp(*list, name) == 0)
            return true;
    }
    return false;
}

static size_t collect_names(
    const struct mu_option *rows, const char *const also[], const char *names[NAMES_MAX])
{
    size_t count = 0;
    for (; also && *also && count < NAMES_MAX; also++)
        names[count++] = *also;
    for (; rows->name && count < NAMES_MAX; rows++)
        names[count++] = rows->name;
    return count;
}

static enum mu_status fail_unknown(const struct source *source, const struct mu_option *rows,
    const char *const also[], const char *key)
{
    const char *names[NAMES_MAX];
    size_t count = collect_names(rows, also, names);
    const char *nearest = mu_text_nearest(key, names, count);
    struct mu_text help;
    mu_text_init(&help);
    mu_text_add(&help, nearest ? "did you mean `%s`?" : "there are ", nearest ? nearest : "");
    for (size_t i = 0; !nearest && i < count; i++)
        mu_text_add(&help, "%s`%s`", i == 0 ? "" : i + 1 < count ? ", " : " and ", names[i]);

    char path[PATH_BYTES_MAX];
    member_path(source, key, path);
    struct mu_place place = mu_json_place(source->json, path, true);
    enum mu_status status = mu_fail_at(source->log, MU_E0202, &place, NULL,
        count > 0 ? help.data : "there are no options here", "unknown key `%s`", path);
    mu_text_finish(&help);
    return status;
}

static enum mu_status check_keys(const struct source *source, const mu_json_value *object,
    const struct mu_option *rows, const char *const also[])
{
    for (size_t i = 0; i < mu_json_count(object); i++) {
        const char *key = mu_json_key(object, i);
        if (!mu_options_find(rows, key) && !is_listed(also, key))
            return fail_unknown(source, rows, also, key);
    }
    return MU_OK;
}

static enum mu_status fail_missing(const struct source *source, const struct mu_option *row)
{
    struct mu_complaint allowed;
    mu_options_value_expected(&allowed, row);
    char path[PATH_BYTES_MAX];
    member_path(source, row->name, path);
    if (!source->json)
        return mu_fail(
            source->log, MU_E0203, row->doc, "`%s` is missing: give %s", path, allowed.expected);
    struct mu_place place = mu_json_place(source->json, source->path, false);
    place.width = 1; /* the whole object would be underlined */
    return mu_fail_at(source->log, MU_E0203, &place, NULL, row->doc, "`%s` is missing: give %s",
        path, allowed.expected);
}

/* "`train.batch` is a string, not an integer", "`train.batch` is out of range" */
static enum mu_status fail_value(const struct source *source, const struct mu_option *row,
    const mu_json_value *value, bool right_type, const struct mu_complaint *complaint)
{
    char path[PATH_BYTES_MAX], expected[sizeof(complaint->expected) + 16];
    char nearest[MU_CHOICE_BYTES_MAX] = "", help[MU_CHOICE_BYTES_MAX + 32];
    enum mu_json_type type = mu_json_type(value);
    member_path(source, row->name, path);
    mu_format(expected, sizeof(expected), "expected %s", complaint->expected);
    if (row->type == MU_OPTION_CHOICE && type == MU_JSON_STRING)
        mu_options_value_nearest(row->choices, mu_json_string(value), nearest, sizeof(nearest));
    mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    struct mu_place place = mu_json_place(source->json, path, false);
    if (!right_type)
        return mu_fail_at(source->log, MU_E0203, &place, expected, row->doc, "`%s` is %s", path,
            mu_json_type_name(type));
    return mu_fail_at(source->log, MU_E0203, &place, expected, nearest[0] ? help : row->doc,
        "`%s` is out of range", path);
}

static bool fits_type(const struct mu_option *row, const mu_json_value *value)
{
    enum mu_json_type type = mu_json_type(value);
    switch (row->type) {
    case MU_OPTION_BOOL:
        return type == MU_JSON_BOOL;
    case MU_OPTION_INTEGER:
        return type == MU_JSON_INTEGER || (row->choices && type == MU_JSON_STRING);
    case MU_OPTION_REAL:
        return type == MU_JSON_INTEGER || type == MU_JSON_REAL ||
               (row->choices && type == MU_JSON_STRING);
    case MU_OPTION_STRING:
    case MU_OPTION_CHOICE:
        return type == MU_JSON_STRING;
    case MU_OPTION_INTEGERS:
        break;
    }
    if (type != MU_JSON_ARRAY)
        return false;
    bool integers = true;
    for (size_t i = 0; integers && i < mu_json_count(value); i++)
        integers = mu_json_type(mu_json_element(value, i)) == MU_JSON_INTEGER;
    return integers;
}

static bool set_integers(const struct mu_option *row, const mu_json_value *value, void *field,
    struct mu_complaint *complaint)
{
    struct mu_integers integers = {.count = 0};
    for (size_t i = 0; i < mu_json_count(value); i++) {
        int64_t element = mu_json_integer(mu_json_element(value, i));
        if (!mu_options_value_append(row, element, &integers, complaint))
            return false;
    }
    memcpy(field, &integers, sizeof(integers));
    return true;
}

/* The type is known to fit. */
static bool set_value(const struct mu_option *row, const mu_json_value *value, void *field,
    struct mu_complaint *complaint)
{
    switch (row->type) {
    case MU_OPTION_BOOL:
        *(bool *)field = mu_json_bool(value);
        return true;
    case MU_OPTION_INTEGER:
        if (mu_json_type(value) == MU_JSON_STRING)
            return mu_options_value_word(row, mu_json_string(value), field, complaint);
        return mu_options_value_integer(row, mu_json_integer(value), field, complaint);
    case MU_OPTION_REAL:
        if (mu_json_type(value) == MU_JSON_STRING)
            return mu_options_value_word(row, mu_json_string(value), field, complaint);
        return mu_options_value_real(row, mu_json_real(value), field, complaint);
    case MU_OPTION_STRING:
        return mu_options_value_string(row, mu_json_string(value), field, complaint);
    case MU_OPTION_CHOICE:
        return mu_options_value_choose(row, mu_json_string(value), field, complaint);
    case MU_OPTION_INTEGERS:
        return set_integers(row, value, field, complaint);
    }
    return false;
}

/* A command line has no quotes: what is typed for a string is one, whatever it looks like. */
static const char *typed_string(
    const struct source *source, const struct mu_option *row, const mu_json_value *value)
{
    char path[PATH_BYTES_MAX];
    if (!source->json || row->type != MU_OPTION_STRING || mu_json_type(value) == MU_JSON_STRING)
        return NULL;
    member_path(source, row->name, path);
    return mu_json_typed(source->json, path);
}

static enum mu_status read_member(const struct source *source, const struct mu_option *row,
    const mu_json_value *value, void *options)
{
    struct mu_complaint complaint;
    void *field = mu_options_value_field(row, options);
    const char *typed = typed_string(source, row, value);
    bool right_type = typed || fits_type(row, value);
    if (!right_type)
        mu_options_value_expected(&complaint, row);
    else if (typed ? mu_options_value_string(row, typed, field, &complaint)
                   : set_value(row, value, field, &complaint))
        return MU_OK;
    return fail_value(source, row, value, right_type, &complaint);
}

enum mu_status mu_options_read(struct mu_log *log, const struct mu_json *json,
    const mu_json_value *object, const char *path, const struct mu_option *rows,
    const char *const also[], void *options)
{
    struct source source = {log, json, path};
    mu_options_defaults(rows, options);
    if (object && mu_json_type(object) != MU_JSON_OBJECT) {
        struct mu_place place = mu_json_place(json, path, false);
        return mu_fail_at(log, MU_E0203, &place, "expected an object", NULL, "`%s` is %s", path,
            mu_json_type_name(mu_json_type(object)));
    }
    if (object)
        MU_TRY(check_keys(&source, object, rows, also));
    const struct mu_option *missing = NULL; /* told last: what is there and wrong comes first */
    for (const struct mu_option *row = rows; row->name; row++) {
        const mu_json_value *value = object ? mu_json_member(object, row->name) : NULL;
        if (value)
            MU_TRY(read_member(&source, row, value, options));
        else if (!row->fallback && !missing)
            missing = row;
    }
    return missing ? fail_missing(&source, missing) : MU_OK;
}
