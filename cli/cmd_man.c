/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/man_plain.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum mu_status fail_unknown(struct mu_log *log, const char *name)
{
    const char *names[64] = {"job"};
    char help[80];
    size_t count = 1;
    for (size_t i = 0; mu_commands[i] && count < MU_COUNT_OF(names); i++)
        names[count++] = mu_commands[i]->name;
    const char *nearest = mu_text_nearest(name, names, count);
    if (nearest)
        mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    return mu_fail(log, MU_E0001, nearest ? help : "`muster --help` lists the commands",
        "there is no manual page for `%.40s`", name);
}

/* As `man` shows it; false: there is none here. */
static bool show_by_man(const char *page)
{
    if (system("command -v man >/dev/null 2>&1") != 0)
        return false;
    FILE *shown = popen("man -l -", "w");
    if (!shown)
        return false;
    /* It may end before it has read the page: how it ended tells whether it has shown it. */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    fputs(page, shown);
    bool good = pclose(shown) == 0;
    signal(SIGPIPE, before);
    return good;
}

/* troff is for programs: who sits before a terminal wants to read it. */
static void show(const char *page, bool troff)
{
    struct mu_text plain;
    if (troff || !isatty(STDOUT_FILENO)) {
        fputs(page, stdout);
        return;
    }
    if (page[0] == '\0' || show_by_man(page))
        return;
    mu_text_init(&plain);
    mu_man_plain(page, &plain);
    fputs(plain.data, stdout);
    mu_text_finish(&plain);
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    const struct mu_cmd_man_options *man = options;
    struct mu_text page;
    char name[sizeof(man->words[0]) * 2 + 2];
    enum mu_status status = MU_OK;
    mu_format(
        name, sizeof(name), "%s%s%s", man->words[0], man->words[1][0] ? " " : "", man->words[1]);
    mu_text_init(&page);
    if (name[0] == '\0')
        mu_help_man_overview(&page);
    else if (strcmp(name, "job") == 0)
        mu_help_man_job(&page);
    else {
        size_t i = 0;
        while (mu_commands[i] && strcmp(mu_commands[i]->name, name) != 0)
            i++;
        if (mu_commands[i])
            mu_help_man_command(mu_commands[i], &page);
        else
            status = fail_unknown(log, name);
    }
    show(page.data, man->troff);
    mu_text_finish(&page);
    return mu_status_exit(status);
}

static const struct mu_flag flags[] = {
    {.option = {.name = "troff",
         .type = MU_OPTION_BOOL,
         .offset = offsetof(struct mu_cmd_man_options, troff),
         .doc = "as troff, on a terminal too"}},
    MU_FLAG_NONE,
};
static const struct mu_operand operands[] = {
    {.name = "COMMAND",
        .doc = "its page, or `job` for the job file; without it the page of muster",
        .offset = offsetof(struct mu_cmd_man_options, words[0]),
        .bytes = sizeof(((struct mu_cmd_man_options *)NULL)->words[0]),
        .optional = true},
    {.name = "WORD",
        .doc = "the second word of the command's name",
        .offset = offsetof(struct mu_cmd_man_options, words[1]),
        .bytes = sizeof(((struct mu_cmd_man_options *)NULL)->words[1]),
        .optional = true},
    MU_OPERAND_NONE,
};
static const char *const examples[] = {"muster man run", "muster man job",
    "muster man run | man -l -", "muster man spec check > muster-spec-check.1", NULL};

const struct mu_command mu_command_man = {
    .name = "man",
    .doc = "shows a manual page; in troff when it is piped",
    .examples = examples,
    .flags = flags,
    .operands = operands,
    .option_bytes = sizeof(struct mu_cmd_man_options),
    .run = run,
};
