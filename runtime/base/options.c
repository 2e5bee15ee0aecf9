/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options.h"
#include "runtime/base/options_value.h"
#include <string.h>

const struct mu_option *mu_options_find(const struct mu_option *rows, const char *name)
{
    for (const struct mu_option *row = rows; row->name; row++) {
        if (strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}

void mu_options_range(const struct mu_option *row, char *out, size_t bytes)
{
    struct mu_text text;
    mu_text_init(&text);
    mu_options_value_range(row, &text);
    mu_text_copy(out, bytes, text.data);
    mu_text_finish(&text);
}

static size_t field_bytes(const struct mu_option *row)
{
    static const size_t bytes[] = {
        [MU_OPTION_BOOL] = sizeof(bool),
        [MU_OPTION_INTEGER] = sizeof(int64_t),
        [MU_OPTION_REAL] = sizeof(double),
        [MU_OPTION_CHOICE] = sizeof(int),
        [MU_OPTION_INTEGERS] = sizeof(struct mu_integers),
    };
    return row->type == MU_OPTION_STRING ? row->bytes : bytes[row->type];
}

void mu_options_defaults(const struct mu_option *rows, void *options)
{
    for (const struct mu_option *row = rows; row->name; row++) {
        void *field = mu_options_value_field(row, options);
        memset(field, 0, field_bytes(row));
        struct mu_complaint complaint;
        bool set = !row->fallback || mu_options_value_text(row, row->fallback, field, &complaint);
        assert(set); /* a default that its own row refuses */
        (void)set;
    }
}

enum mu_status mu_options_set(struct mu_log *log, const char *flag, const struct mu_option *row,
    const char *text, void *options)
{
    struct mu_complaint complaint;
    if (mu_options_value_text(row, text, mu_options_value_field(row, options), &complaint))
        return MU_OK;
    char nearest[MU_CHOICE_BYTES_MAX] = "", help[MU_CHOICE_BYTES_MAX + 256] = "";
    if (row->type == MU_OPTION_CHOICE)
        mu_options_value_nearest(row->choices, text, nearest, sizeof(nearest));
    if (nearest[0])
        mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    else if (row->fallback && row->fallback[0])
        /* -1 stands for something else. */
        mu_format(help, sizeof(help), "as in `%.60s %.60s`, its default%s%.120s", flag,
            row->fallback, row->fallback[0] == '-' ? ": " : "",
            row->fallback[0] == '-' ? row->doc : "");
    return mu_fail(log, MU_E0001, help[0] ? help : NULL, "%s cannot be `%s`: expected %s", flag,
        text, complaint.expected);
}

static void write_integers(const struct mu_integers *integers, struct mu_text *out)
{
    mu_text_append(out, "[", 1);
    for (int i = 0; i < integers->count; i++)
        mu_text_add(out, "%s%lld", i > 0 ? "," : "", (long long)integers->value[i]);
    mu_text_append(out, "]", 1);
}

static void write_value(const struct mu_option *row, const void *field, struct mu_text *out)
{
    char choice[MU_CHOICE_BYTES_MAX];
    switch (row->type) {
    case MU_OPTION_BOOL:
        mu_text_add(out, "%s", *(const bool *)field ? "true" : "false");
        break;
    case MU_OPTION_INTEGER:
        if (row->choices && *(const int64_t *)field == -1)
            mu_text_add_json_string(out, row->choices);
        else
            mu_text_add(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case MU_OPTION_REAL:
        if (row->choices && *(const double *)field == -1)
            mu_text_add_json_string(out, row->choices);
        else
            mu_text_add_double(out, *(const double *)field);
        break;
    case MU_OPTION_STRING:
        mu_text_add_json_string(out, field);
        break;
    case MU_OPTION_CHOICE:
        mu_options_value_choice(row->choices, *(const int *)field, choice, sizeof(choice));
        mu_text_add_json_string(out, choice);
        break;
    case MU_OPTION_INTEGERS:
        write_integers(field, out);
        break;
    }
}

void mu_options_write_one(const struct mu_option *row, const void *options, struct mu_text *out)
{
    write_value(row, (const char *)options + row->offset, out);
}

void mu_options_write(const struct mu_option *rows, const void *options, struct mu_text *out)
{
    for (const struct mu_option *row = rows; row->name; row++) {
        mu_text_append(out, ",", row > rows);
        mu_text_add_json_string(out, row->name);
        mu_text_append(out, ":", 1);
        mu_options_write_one(row, options, out);
    }
}

static void describe_row(const struct mu_option *row, int name_columns, struct mu_text *out)
{
    struct mu_complaint allowed;
    mu_options_value_expected(&allowed, row);
    mu_text_add(out, "  %-*s  %s", name_columns, row->name, allowed.expected);
    if (!row->fallback)
        mu_text_add(out, " (required)");
    else if (row->fallback[0] != '\0')
        mu_text_add(out, " (default %s)", row->fallback);
    mu_text_add(out, ": %s\n", row->doc);
}

void mu_options_describe(const struct mu_option *rows, struct mu_text *out)
{
    int name_columns = 0;
    for (const struct mu_option *row = rows; row->name; row++) {
        int columns = (int)strlen(row->name);
        name_columns = columns > name_columns ? columns : name_columns;
    }
    for (const struct mu_option *row = rows; row->name; row++)
        describe_row(row, name_columns, out);
}
