/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/help.h"
#include "config.h"
#include "roles/job/job.h"
#include "runtime/base/options.h"
#include <ctype.h>
#include <string.h>

/* Text as troff takes it: backslashes and dashes escaped, no line that begins as a request. */
static void add_escaped(struct mu_text *out, const char *text)
{
    bool begins = true;
    for (; *text; text++) {
        if (begins && (*text == '.' || *text == '\''))
            mu_text_add(out, "\\&");
        if (*text == '\\')
            mu_text_add(out, "\\e");
        else if (*text == '-')
            mu_text_add(out, "\\-");
        else
            mu_text_append(out, text, 1);
        begins = *text == '\n';
    }
}

/* "muster-spec-check", or all capitals; the dashes as troff has them. */
static void add_page_name(struct mu_text *out, const char *name, bool capitals)
{
    mu_text_add(out, capitals ? "MUSTER" : "muster");
    if (name)
        mu_text_add(out, "\\-");
    for (; name && *name; name++)
        if (*name == ' ')
            mu_text_add(out, "\\-");
        else
            mu_text_add(out, "%c", capitals ? toupper((unsigned char)*name) : *name);
}

static void add_title(struct mu_text *out, const char *name, int section)
{
    mu_text_add(out, ".TH ");
    add_page_name(out, name, true);
    mu_text_add(out, " %d \"\" \"muster " MU_VERSION "\" \"muster\"\n", section);
}

static void add_section(struct mu_text *out, const char *name, const char *text)
{
    mu_text_add(out, ".SH %s\n", name);
    add_escaped(out, text);
    mu_text_add(out, "\n");
}

static void add_exit_codes(struct mu_text *out)
{
    int last = -1;
    mu_text_add(out, ".SH EXIT STATUS\n");
    for (int status = 0; status < MU_STATUS_COUNT; status++) {
        int code = mu_status_exit((enum mu_status)status);
        if (code == last)
            mu_text_add(out, "; %s\n", mu_status_text((enum mu_status)status));
        else
            mu_text_add(out, ".TP\n%d\n%s\n", code, mu_status_text((enum mu_status)status));
        last = code;
    }
    mu_text_add(out, ".TP\n128+n\nended by signal n\n");
}

static void add_flag(struct mu_text *out, const struct mu_flag *flag)
{
    const struct mu_option *row = mu_args_row(flag);
    char range[160] = "";
    mu_text_add(out, ".TP\n");
    if (flag->letter)
        mu_text_add(out, "\\fB\\-%c\\fR, ", flag->letter);
    mu_text_add(out, "\\fB\\-\\-");
    add_escaped(out, flag->option.name);
    mu_text_add(out, "\\fR");
    if (flag->value)
        mu_text_add(out, " \\fI%s\\fR", flag->value);
    mu_text_add(out, "\n");
    add_escaped(out, flag->option.doc ? flag->option.doc : row->doc);
    mu_text_add(out, ".\n");
    if (flag->value)
        mu_options_range(row, range, sizeof(range));
    if (range[0]) {
        mu_text_add(out, "Allowed: ");
        add_escaped(out, range);
        mu_text_add(out, ".\n");
    }
    if (!flag->sets && flag->value && row->fallback && row->fallback[0]) {
        mu_text_add(out, "Default: ");
        add_escaped(out, row->fallback);
        mu_text_add(out, ".\n");
    }
}

static void add_examples(struct mu_text *out, const struct mu_command *command)
{
    mu_text_add(out, ".SH EXAMPLES\n.nf\n");
    for (const char *const *example = command->examples; *example; example++) {
        add_escaped(out, *example);
        mu_text_add(out, "\n");
    }
    mu_text_add(out, ".fi\n");
}

void mu_help_man_command(const struct mu_command *command, struct mu_text *out)
{
    add_title(out, command->name, 1);
    mu_text_add(out, ".SH NAME\n");
    add_page_name(out, command->name, false);
    mu_text_add(out, " \\- ");
    add_escaped(out, command->doc);
    mu_text_add(out, "\n.SH SYNOPSIS\n\\fBmuster %s\\fR", command->name);
    for (const struct mu_operand *operand = command->operands; operand->name; operand++)
        mu_text_add(out, operand->optional ? " [\\fI%s\\fR]" : " \\fI%s\\fR", operand->name);
    mu_text_add(out, command->flags->option.name ? " [\\fIflags\\fR]\n" : "\n");
    if (command->details)
        add_section(out, "DESCRIPTION", command->details);
    if (command->flags->option.name || command->operands->name)
        mu_text_add(out, ".SH OPTIONS\n");
    for (const struct mu_operand *operand = command->operands; operand->name; operand++) {
        mu_text_add(out, ".TP\n\\fI%s\\fR\n", operand->name);
        add_escaped(out, operand->doc);
        mu_text_add(out, ".\n");
    }
    for (const struct mu_flag *flag = command->flags; flag->option.name; flag++)
        add_flag(out, flag);
    add_examples(out, command);
    add_exit_codes(out);
}

void mu_help_man_overview(struct mu_text *out)
{
    add_title(out, NULL, 1);
    add_section(out, "NAME", "muster - trains one model on many processes");
    mu_text_add(out, ".SH SYNOPSIS\n\\fBmuster\\fR \\fICOMMAND\\fR [\\fIarguments\\fR]\n");
    add_section(out, "DESCRIPTION",
        "Every process of a cluster starts with the same command, reads from TF_CONFIG (or from "
        "--cluster and --task, CLUSTER_SPEC, SageMaker, torchrun, Slurm or Open MPI) which task it "
        "is, and the cluster trains: synchronously by all-reduce between the workers, or through "
        "parameter servers. A job file says what to learn.");
    mu_text_add(out, ".SH COMMANDS\n");
    for (size_t i = 0; mu_commands[i]; i++) {
        mu_text_add(out, ".TP\n\\fB%s\\fR\n", mu_commands[i]->name);
        add_escaped(out, mu_commands[i]->doc);
        mu_text_add(out, ".\n");
    }
    add_exit_codes(out);
}

void mu_help_man_job(struct mu_text *out)
{
    struct mu_text job;
    add_title(out, "job", 5);
    add_section(out, "NAME", "muster-job - what to learn, as a JSON file");
    mu_text_init(&job);
    mu_job_describe(&job);
    mu_text_add(out, ".SH DESCRIPTION\n.nf\n");
    add_escaped(out, job.data);
    mu_text_add(out, ".fi\n");
    mu_text_finish(&job);
}
