/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"
#include "roles/job/job_rows.h"
#include "runtime/base/options.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define FLAGS_MAX 48
#define NAME_BYTES_MAX 48

const struct mu_option *mu_args_row(const struct mu_flag *flag)
{
    if (!flag->sets)
        return &flag->option;
    const struct mu_option *row = mu_job_row_find(flag->sets);
    assert(row); /* a flag that sets what no job has */
    return row;
}

bool mu_args_ask_help(char *const *arguments)
{
    for (; *arguments && strcmp(*arguments, "--") != 0; arguments++)
        if (strcmp(*arguments, "-h") == 0 || strcmp(*arguments, "--help") == 0)
            return true;
    return false;
}

struct parse {
    struct mu_log *log;
    const struct mu_command *command;
    char *options;
    char *const *next; /* argument */
};

static const struct mu_flag *find_flag(const struct mu_command *command, const char *name)
{
    for (const struct mu_flag *flag = command->flags; flag->option.name; flag++)
        if (strcmp(flag->option.name, name) == 0)
            return flag;
    return NULL;
}

static const struct mu_flag *find_letter(const struct mu_command *command, char letter)
{
    for (const struct mu_flag *flag = command->flags; flag->option.name; flag++)
        if (flag->letter == letter)
            return flag;
    return NULL;
}

/* "--start_timeout=5" -> "start-timeout"; the value or NULL. */
static const char *split_flag(const char *argument, char name[NAME_BYTES_MAX])
{
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    mu_text_copy(name, length < NAME_BYTES_MAX ? length + 1 : NAME_BYTES_MAX, argument);
    for (char *at = name; *at; at++)
        *at = *at == '_' ? '-' : *at;
    return equals ? equals + 1 : NULL;
}

static enum mu_status fail_unknown(const struct parse *parse, const char *name)
{
    const char *names[FLAGS_MAX];
    size_t count = 0;
    char help[128];
    for (const struct mu_flag *flag = parse->command->flags; flag->option.name; flag++)
        if (count < FLAGS_MAX)
            names[count++] = flag->option.name;
    const char *nearest = mu_text_nearest(name, names, count);
    if (nearest)
        mu_format(help, sizeof(help), "did you mean `--%s`?", nearest);
    else
        mu_format(help, sizeof(help), "`muster %s --help` lists the flags", parse->command->name);
    return mu_fail(parse->log, MU_E0001, help, "unknown flag `--%s`", name);
}

static enum mu_status add_item(
    const struct parse *parse, const char *flag, const char *item, struct mu_flag_list *list)
{
    if (list->count == MU_FLAG_SETS_MAX)
        return mu_fail(
            parse->log, MU_E0001, NULL, "%s is given more than %d times", flag, MU_FLAG_SETS_MAX);
    list->item[list->count++] = item;
    return MU_OK;
}

/* "--steps 100" becomes "train.steps=100", which lives as long as the process: as the arguments
 * do. */
static enum mu_status add_set(const struct parse *parse, const struct mu_flag *flag,
    const char *name, const char *value, struct mu_flag_list *list)
{
    static char texts[MU_FLAG_SETS_MAX][128];
    static int used;
    union {
        int64_t integer;
        double real;
        char bytes[256];
    } checked;
    struct mu_option row = *mu_args_row(flag);
    row.offset = 0;
    assert(row.bytes <= sizeof(checked));
    MU_TRY(mu_options_set(parse->log, name, &row, value, &checked));
    if (used == MU_FLAG_SETS_MAX || strlen(flag->sets) + strlen(value) + 2 > sizeof(texts[0]))
        return mu_fail(parse->log, MU_E0001, NULL, "%s is given too often or is too long", name);
    mu_format(texts[used], sizeof(texts[used]), "%s=%s", flag->sets, value);
    return add_item(parse, name, texts[used++], list);
}

static enum mu_status set_flag(
    const struct parse *parse, const struct mu_flag *flag, const char *name, const char *value)
{
    void *field = parse->options + flag->option.offset;
    if (flag->sets)
        return add_set(parse, flag, name, value, field);
    if (flag->option.type == MU_OPTION_STRING && value[0] == '\0')
        return mu_fail(parse->log, MU_E0001, NULL, "%s: the value is empty", name);
    if (flag->repeated)
        return add_item(parse, name, value, field);
    return mu_options_set(parse->log, name, &flag->option, value, parse->options);
}

static enum mu_status take_flag(
    struct parse *parse, const struct mu_flag *flag, const char *name, const char *value)
{
    bool takes_value = flag->sets || flag->option.type != MU_OPTION_BOOL;
    if (!takes_value) {
        if (value)
            return mu_fail(parse->log, MU_E0001, NULL, "%s takes no value", name);
        *(bool *)(parse->options + flag->option.offset) = true;
        return MU_OK;
    }
    if (!value) {
        value = *parse->next;
        if (!value || (value[0] == '-' && value[1] == '-')) {
            char range[160], help[256];
            mu_options_range(mu_args_row(flag), range, sizeof(range));
            mu_format(
                help, sizeof(help), "%s %s%s%s", name, flag->value, range[0] ? ": " : "", range);
            return mu_fail(parse->log, MU_E0001, help, "%s has no value", name);
        }
        parse->next++;
    }
    return set_flag(parse, flag, name, value);
}

static enum mu_status take_long(struct parse *parse, const char *argument)
{
    char name[NAME_BYTES_MAX], shown[NAME_BYTES_MAX + 2];
    const char *value = split_flag(argument + 2, name);
    const struct mu_flag *flag = find_flag(parse->command, name);
    if (!flag)
        return fail_unknown(parse, name);
    mu_format(shown, sizeof(shown), "--%s", name);
    return take_flag(parse, flag, shown, value);
}

/* "-qv": letters may stand together; the last may take a value. */
static enum mu_status take_letters(struct parse *parse, const char *argument)
{
    for (const char *letter = argument + 1; *letter; letter++) {
        char name[3] = {'-', *letter, '\0'}, help[128];
        const struct mu_flag *flag = find_letter(parse->command, *letter);
        mu_format(help, sizeof(help), "`muster %s --help` lists the flags", parse->command->name);
        if (!flag)
            return mu_fail(parse->log, MU_E0001, help, "unknown flag `-%c`",
                isprint((unsigned char)*letter) ? *letter : '?');
        MU_TRY(take_flag(parse, flag, name, NULL));
    }
    return MU_OK;
}

static enum mu_status take_operand(struct parse *parse, const char *text, int index)
{
    const struct mu_operand *operand = parse->command->operands;
    for (int i = 0; operand->name && i < index; i++)
        operand++;
    char help[128];
    mu_format(help, sizeof(help), "`muster %s --help` shows how it is used", parse->command->name);
    if (!operand->name)
        return mu_fail(parse->log, MU_E0001, help, "`%.60s` is one argument too many", text);
    if (text[0] == '\0')
        return mu_fail(parse->log, MU_E0001, help, "%s is empty", operand->name);
    if (strlen(text) >= operand->bytes)
        return mu_fail(parse->log, MU_E0001, NULL, "%s is longer than %zu bytes", operand->name,
            operand->bytes - 1);
    mu_text_copy(parse->options + operand->offset, operand->bytes, text);
    return MU_OK;
}

static void set_defaults(const struct mu_command *command, char *options)
{
    memset(options, 0, command->option_bytes);
    for (const struct mu_flag *flag = command->flags; flag->option.name; flag++) {
        const struct mu_option rows[] = {flag->option, {.name = NULL}};
        if (!flag->sets && !flag->repeated && flag->option.type != MU_OPTION_BOOL)
            mu_options_defaults(rows, options);
    }
}

static enum mu_status check_operands(const struct parse *parse, int count)
{
    for (const struct mu_operand *operand = parse->command->operands; operand->name; operand++) {
        char help[128];
        mu_format(
            help, sizeof(help), "`muster %s --help` shows how it is used", parse->command->name);
        if (count-- <= 0 && !operand->optional)
            return mu_fail(parse->log, MU_E0001, help, "muster %s: %s is missing (%s)",
                parse->command->name, operand->name, operand->doc);
    }
    return MU_OK;
}

enum mu_status mu_args_parse(
    struct mu_log *log, const struct mu_command *command, char *const *arguments, void *options)
{
    struct parse parse = {log, command, options, arguments};
    int operands = 0;
    bool flags_end = false;
    set_defaults(command, options);
    while (*parse.next) {
        const char *argument = *parse.next++;
        if (flags_end || argument[0] != '-' || argument[1] == '\0')
            MU_TRY(take_operand(&parse, argument, operands++));
        else if (strcmp(argument, "--") == 0)
            flags_end = true;
        else if (argument[1] == '-')
            MU_TRY(take_long(&parse, argument));
        else
            MU_TRY(take_letters(&parse, argument));
    }
    return check_operands(&parse, operands);
}
