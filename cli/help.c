/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"
#include "cli/commands.h"
#include "config.h"
#include "runtime/base/options.h"
#include <string.h>

#define COLUMNS 79

/* Adds words to a line until it is full, then goes on in column `indent`. `column` is where the
 * line stands; the end is a newline. */
static void add_wrapped(struct mu_text *out, int column, int indent, const char *text)
{
    for (const char *word = text; *word;) {
        int length = (int)strcspn(word, " ");
        if (column > indent && column + 1 + length > COLUMNS) {
            mu_text_add(out, "\n%*s", indent, "");
            column = indent;
        } else if (word != text) {
            mu_text_append(out, " ", 1);
            column++;
        }
        mu_text_append(out, word, (size_t)length);
        column += length;
        word += length;
        word += strspn(word, " ");
    }
    mu_text_append(out, "\n", 1);
}

/* "--start-timeout SECONDS" */
static void add_flag_name(const struct mu_flag *flag, struct mu_text *out)
{
    if (flag->letter)
        mu_text_add(out, "-%c, ", flag->letter);
    mu_text_add(out, "--%s", flag->option.name);
    if (flag->value)
        mu_text_add(out, " %s", flag->value);
}

/* What it does, the range and the default in one sentence. */
static void add_flag_doc(const struct mu_flag *flag, struct mu_text *out)
{
    const struct mu_option *row = mu_args_row(flag);
    char range[160] = "";
    mu_text_add(out, "%s", flag->option.doc ? flag->option.doc : row->doc);
    if (flag->value)
        mu_options_range(row, range, sizeof(range));
    bool fallback = !flag->sets && row->fallback && row->fallback[0] && flag->value;
    if (range[0] || fallback)
        mu_text_add(out, " (%s%s%s%s)", range, range[0] && fallback ? "; " : "",
            fallback ? "default " : "", fallback ? row->fallback : "");
}

static void add_usage(const struct mu_command *command, struct mu_text *out)
{
    mu_text_add(out, "muster %s", command->name);
    for (const struct mu_operand *operand = command->operands; operand->name; operand++)
        mu_text_add(out, operand->optional ? " [%s]" : " %s", operand->name);
    if (command->flags->option.name)
        mu_text_add(out, " [flags]");
}

static void add_flags(const struct mu_command *command, struct mu_text *out)
{
    enum { INDENT = 28 };
    for (const struct mu_flag *flag = command->flags; flag->option.name; flag++) {
        struct mu_text name, doc;
        mu_text_init(&name);
        mu_text_init(&doc);
        add_flag_name(flag, &name);
        add_flag_doc(flag, &doc);
        mu_text_add(out, "  %-*s", INDENT - 2, name.data);
        int column = (int)name.bytes + 2;
        if (column >= INDENT) { /* the name is long: the text begins on the next line */
            mu_text_add(out, "\n%*s", INDENT, "");
            column = INDENT;
        }
        add_wrapped(out, column < INDENT ? INDENT : column, INDENT, doc.data);
        mu_text_finish(&name);
        mu_text_finish(&doc);
    }
}

void mu_help_command(const struct mu_command *command, struct mu_text *out)
{
    mu_text_add(out, "Usage: ");
    add_usage(command, out);
    mu_text_add(out, "\n\nmuster %s - ", command->name);
    add_wrapped(out, (int)strlen(command->name) + 10, 0, command->doc);
    mu_text_add(out, "\nExamples:\n");
    for (const char *const *example = command->examples; *example; example++)
        mu_text_add(out, "  %s\n", *example);
    if (command->operands->name)
        mu_text_add(out, "\nArguments:\n");
    for (const struct mu_operand *operand = command->operands; operand->name; operand++) {
        mu_text_add(out, "  %-26s", operand->name);
        add_wrapped(out, 28, 28, operand->doc);
    }
    if (command->flags->option.name)
        mu_text_add(out, "\nFlags:\n");
    add_flags(command, out);
    mu_text_add(out, "\n`muster man %s` is the manual page.\n", command->name);
}

static void add_line(const struct mu_command *command, struct mu_text *out)
{
    mu_text_add(out, "  %-18s %s\n", command->name, command->doc);
}

void mu_help_overview(struct mu_text *out)
{
    mu_text_add(out,
        "muster " MU_VERSION " - trains one model on many processes\n"
        "\n"
        "Examples:\n"
        "  muster run configs/demo.json --local 4          four workers on this machine\n"
        "  muster run job.json --cluster c.json --task worker/0    one task of a cluster\n"
        "\n"
        "Commands:\n");
    for (size_t i = 0; mu_commands[i]; i++)
        add_line(mu_commands[i], out);
    mu_text_add(out,
        "\n"
        "`muster COMMAND --help` lists the flags; `muster man COMMAND|job` tells all.\n");
}

void mu_help_group(const char *word, struct mu_text *out)
{
    mu_text_add(out, "Commands:\n");
    for (size_t i = 0; mu_commands[i]; i++)
        if (mu_command_is_of(mu_commands[i], word))
            add_line(mu_commands[i], out);
    mu_text_add(out, "\n`muster COMMAND --help` lists the flags of one.\n");
}
