/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exit_codes.h"
#include "cli/explanations.h"
#include <stdio.h>
#include <string.h>

#define SIGNAL_MAX 64

/* docs/EXIT_CODES.md has the same in a table. */
struct row {
    int code;
    const char *again, *todo;
};

#define SAME_WAY "no: it fails in the same way until somebody changes something"
#define MAY_SUCCEED "yes: the same command with --resume may succeed"

static const struct row rows[] = {
    {0, "nothing is left to do", "muster status DIR shows how the run ended"},
    {1, "once", "report it, with the command, the log and muster --version"},
    {64, SAME_WAY, "muster COMMAND --help"},
    {65, SAME_WAY, "the error that the task said last names the file"},
    {66, SAME_WAY, "the error that the task said last names what is missing"},
    {69, MAY_SUCCEED,
        "somebody else failed first: muster status DIR, and the first error in DIR/logs"},
    {70, SAME_WAY, "the error that the task said last"},
    {71, MAY_SUCCEED, "free -g; --batch smaller"},
    {73, SAME_WAY, "the error that the task said last: a full disk, or another run in DIR"},
    {74, MAY_SUCCEED, "df -h DIR; df -i DIR"},
    {75, MAY_SUCCEED, "it was asked to stop and has saved: --resume goes on"},
    {76, SAME_WAY, "muster --version, and the job and the spec, on every host"},
    {77, SAME_WAY, "the error that the task said last"},
    {78, SAME_WAY, "muster spec check; muster man job"},
};

static void print_line(const char *name, const char *text)
{
    printf("  %-8s %s\n", name, text);
}

static void print_errors(int code)
{
    bool first = true;
    for (int error = 0; error < MU_ERROR_COUNT; error++) {
        if (mu_status_exit(mu_error_status((enum mu_error)error)) != code)
            continue;
        printf("%s  E%04d  %s\n", first ? "\nThe errors that end with it:\n" : "",
            mu_error_number((enum mu_error)error), mu_error_doc((enum mu_error)error));
        first = false;
    }
}

static bool print_own(int code)
{
    const struct row *row = rows;
    while (row < rows + MU_COUNT_OF(rows) && row->code != code)
        row++;
    if (row == rows + MU_COUNT_OF(rows))
        return false;
    const char *separator = "";
    printf("exit code %d  ", code);
    for (int status = 0; status < MU_STATUS_COUNT; status++)
        if (mu_status_exit((enum mu_status)status) == code) {
            printf("%s%s", separator, mu_status_text((enum mu_status)status));
            separator = "; ";
        }
    printf("\n\n");
    print_line("again", row->again);
    print_line("to do", row->todo);
    print_errors(code);
    return true;
}

static bool print_signal(int code)
{
    const char *name = sigabbrev_np(code - 128);
    if (!name)
        return false;
    printf("exit code %d  ended by signal %d (SIG%s)\n\n", code, code - 128, name);
    print_line("again", MAY_SUCCEED);
    print_line(
        "to do", strcmp(name, "KILL") == 0 ? "dmesg -T | grep -i oom on its host"
                 : strcmp(name, "TERM") == 0 || strcmp(name, "INT") == 0
                     ? "it was asked to stop before it had anything to save"
                     : "its last words are in DIR/logs; report it if nobody sent the signal");
    return true;
}

bool mu_exit_code_print(int64_t code)
{
    if (code < 0 || code > 128 + SIGNAL_MAX)
        return false;
    return code > 128 ? print_signal((int)code) : print_own((int)code);
}
