/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <stdio.h>
#include <string.h>

static void print_row(enum mu_error error)
{
    enum mu_status status = mu_error_status(error);
    printf("E%04d  exit %d  %s\n", mu_error_number(error), mu_status_exit(status),
        mu_error_doc(error));
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
    if (explain->error[0] == '\0') {
        for (int error = 0; error < MU_ERROR_COUNT; error++)
            print_row((enum mu_error)error);
        return mu_status_exit(MU_OK);
    }
    if (read_number(explain->error, &number))
        for (int error = 0; error < MU_ERROR_COUNT; error++)
            if (mu_error_number((enum mu_error)error) == number) {
                print_row((enum mu_error)error);
                printf("\nA process that ends for this reason exits with %d: %s.\n",
                    mu_status_exit(mu_error_status((enum mu_error)error)),
                    mu_status_text(mu_error_status((enum mu_error)error)));
                return mu_status_exit(MU_OK);
            }
    return mu_status_exit(mu_fail(log, MU_E0001, "`muster explain` lists all errors",
        "there is no error `%.20s`", explain->error));
}

static const struct mu_flag flags[] = {MU_FLAG_NONE};
static const struct mu_operand operands[] = {
    {.name = "ERROR",
        .doc = "a number, as in E0104; without it all are listed",
        .offset = offsetof(struct mu_cmd_explain_options, error),
        .bytes = sizeof(((struct mu_cmd_explain_options *)NULL)->error),
        .optional = true},
    MU_OPERAND_NONE,
};
static const char *const examples[] = {"muster explain E0104", "muster explain", NULL};

const struct mu_command mu_command_explain = {
    .name = "explain",
    .doc = "says what an error number means",
    .examples = examples,
    .flags = flags,
    .operands = operands,
    .option_bytes = sizeof(struct mu_cmd_explain_options),
    .run = run,
};
