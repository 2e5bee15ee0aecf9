/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/explanations.h"
#include <stdio.h>
#include <string.h>

#define COLUMNS 80

static void print_row(enum mu_error error)
{
    enum mu_status status = mu_error_status(error);
    printf("E%04d  exit %d  %s\n", mu_error_number(error), mu_status_exit(status),
        mu_error_doc(error));
}

static void print_words(const char *name, const char *text)
{
    int column = printf("  %-8s", name);
    while (*text) {
        int bytes = (int)strcspn(text, " ");
        if (column + 1 + bytes > COLUMNS)
            column = printf("\n%10s", "") - 1;
        column += printf(" %.*s", bytes, text);
        text += bytes + (text[bytes] == ' ');
    }
    printf("\n");
}

static void print_all(enum mu_error error)
{
    const struct mu_explanation *explanation = mu_explanation_of(error);
    print_row(error);
    printf("\n");
    print_words("meaning", explanation->meaning);
    print_words("causes", explanation->causes);
    print_words("to do", mu_error_remedy(error));
    printf("\nWhoever ends for this exits with %d: %s.\n", mu_status_exit(mu_error_status(error)),
        mu_status_text(mu_error_status(error)));
}

/* "E0104", "e104" and "104" are the same. */
static bool read_number(const char *text, int64_t *ret_number)
{
    if (text[0] == 'E' || text[0] == 'e')
        text++;
    return mu_text_to_int64(text, ret_number);
}

static int run(struct mu_log *log, const void *options, char *const *arguments)
{
    const struct mu_cmd_explain_options *explain = options;
    int64_t number = 0;
    enum mu_error found;
    if (explain->error[0] == '\0') {
        for (int error = 0; error < MU_ERROR_COUNT; error++)
            print_row((enum mu_error)error);
        return mu_status_exit(MU_OK);
    }
    if (read_number(explain->error, &number) && mu_error_find(number, &found)) {
        print_all(found);
        if (mu_text_to_int64(explain->error, &number) && number == 1 && printf("\n") > 0)
            (void)mu_exit_code_print(number);
        return mu_status_exit(MU_OK);
    }
    /* Of the exit codes only 1 is an error's number too. */
    if (mu_text_to_int64(explain->error, &number) && mu_exit_code_print(number))
        return mu_status_exit(MU_OK);
    return mu_status_exit(mu_fail(log, MU_E0001, "`muster explain` lists all errors",
        "there is no error `%.20s`", explain->error));
}

static const struct mu_flag flags[] = {MU_FLAG_NONE};
static const struct mu_operand operands[] = {
    {.name = "ERROR",
        .doc = "a number, as in E0104, or an exit code, as 69; without it all errors are listed",
        .offset = offsetof(struct mu_cmd_explain_options, error),
        .bytes = sizeof(((struct mu_cmd_explain_options *)NULL)->error),
        .optional = true},
    MU_OPERAND_NONE,
};
static const char *const examples[] = {
    "muster explain E0104", "muster explain 69", "muster explain", NULL};

const struct mu_command mu_command_explain = {
    .name = "explain",
    .doc = "says what an error number or an exit code means",
    .examples = examples,
    .flags = flags,
    .operands = operands,
    .option_bytes = sizeof(struct mu_cmd_explain_options),
    .run = run,
};
