/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/help.h"
#include "config.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 64

/* To stdout, whole; a reader that has gone away (`| head -1`) is no failure. */
static int print(struct mu_text *text)
{
    fputs(text->data, stdout);
    mu_text_finish(text);
    return fflush(stdout) == 0 ? mu_status_exit(MU_OK) : mu_status_exit(MU_IO_ERROR);
}

static int print_version(void)
{
    printf("muster %s\n", MU_VERSION);
    printf("with: %s, %s, %s\n", HAVE_MPI ? "MPI" : "no MPI",
        HAVE_SYSTEMD ? "systemd" : "no systemd", HAVE_CUDA ? "CUDA" : "no CUDA");
    return 0;
}

/* `muster spec`: half of a name. Its commands are shown. */
static bool is_group(const char *word)
{
    for (size_t i = 0; mu_commands[i]; i++)
        if (mu_command_is_of(mu_commands[i], word))
            return true;
    return false;
}

static enum mu_status fail_group(struct mu_log *log, const char *word, const char *second)
{
    struct mu_text names;
    mu_text_init(&names);
    for (size_t i = 0; mu_commands[i]; i++)
        if (mu_command_is_of(mu_commands[i], word))
            mu_text_add(&names, "%s`muster %s`", names.bytes > 0 ? ", " : "", mu_commands[i]->name);
    enum mu_status status =
        second ? mu_fail(log, MU_E0001, names.data, "unknown command `%.20s %.40s`", word, second)
               : mu_fail(log, MU_E0001, names.data, "`muster %.20s` is not a whole command", word);
    mu_text_finish(&names);
    return status;
}

static enum mu_status fail_unknown(struct mu_log *log, const char *word)
{
    const char *names[NAMES_MAX];
    char help[96] = "`muster --help` lists the commands", firsts[NAMES_MAX][32];
    size_t count = 0;
    for (; mu_commands[count] && count < NAMES_MAX; count++) {
        mu_text_copy(firsts[count], sizeof(firsts[count]), mu_commands[count]->name);
        firsts[count][strcspn(firsts[count], " ")] = '\0';
        names[count] = firsts[count];
    }
    const char *nearest = mu_text_nearest(word, names, count);
    if (nearest)
        mu_format(help, sizeof(help), "did you mean `%s`?", nearest);
    return mu_fail(log, MU_E0001, help, "unknown command `%.40s`", word);
}

/* Of a command, of a group of them, or of all. */
static int print_help(char *const *words)
{
    int count;
    struct mu_text text;
    const struct mu_command *command = words[0] ? mu_command_find(words, &count) : NULL;
    mu_text_init(&text);
    if (command)
        mu_help_command(command, &text);
    else if (words[0] && is_group(words[0]))
        mu_help_group(words[0], &text);
    else
        mu_help_overview(&text);
    return print(&text);
}

static int run_command(
    struct mu_log *log, const struct mu_command *command, char *const *arguments, int words)
{
    if (mu_args_ask_help(arguments + words))
        return print_help(arguments);
    void *options = calloc(1, command->option_bytes + 1);
    if (!options)
        return mu_status_exit(mu_fail(log, MU_E0801, NULL, "no memory for the command line"));
    enum mu_status status = mu_args_parse(log, command, arguments + words, options);
    int code = status == MU_OK ? command->run(log, options, arguments) : mu_status_exit(status);
    free(options);
    return code;
}

/* Started with stdin, stdout or stderr closed: the next file that is opened would take its number,
 * and be written to as if it were the terminal. */
static void fill_closed_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return;
}

int main(int argc, char **argv)
{
    fill_closed_descriptors();
    static char *const none[] = {NULL};
    char *const *arguments = argc > 0 ? argv + 1 : none;
    struct mu_log log;
    int words = 0;
    mu_log_init_stderr(&log, MU_LEVEL_INFO);
    if (!arguments[0]) {
        print_help(arguments);
        return mu_status_exit(MU_USAGE);
    }
    if (strcmp(arguments[0], "--version") == 0 || strcmp(arguments[0], "-V") == 0)
        return print_version();
    const struct mu_command *command = mu_command_find(arguments, &words);
    if (command)
        return run_command(&log, command, arguments, words);
    if (strcmp(arguments[0], "help") == 0)
        return print_help(arguments + 1);
    if (mu_args_ask_help(arguments))
        return print_help(arguments);
    return mu_status_exit(is_group(arguments[0]) ? fail_group(&log, arguments[0], arguments[1])
                                                 : fail_unknown(&log, arguments[0]));
}
