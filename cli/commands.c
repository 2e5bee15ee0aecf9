/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include <string.h>

/* What this build has, in the order of --help. The rows of each are beside its function. */
const struct mu_command *const mu_commands[] = {
    &mu_command_run,
    &mu_command_status,
    &mu_command_simulate,
    &mu_command_bench_train,
    &mu_command_bench_allreduce,
    &mu_command_bench_ps,
    &mu_command_checkpoint_list,
    &mu_command_checkpoint_verify,
    &mu_command_checkpoint_show,
    &mu_command_audit_replay,
    &mu_command_spec_check,
    &mu_command_spec_make,
    &mu_command_doctor,
    &mu_command_explain,
    &mu_command_man,
    NULL,
};

const struct mu_command *mu_command_find(char *const *arguments, int *ret_words)
{
    for (size_t i = 0; mu_commands[i]; i++) {
        const char *name = mu_commands[i]->name, *space = strchr(name, ' ');
        if (!space && strcmp(arguments[0], name) == 0) {
            *ret_words = 1;
            return mu_commands[i];
        }
        size_t first = space ? (size_t)(space - name) : 0;
        if (space && strncmp(arguments[0], name, first) == 0 && arguments[0][first] == '\0' &&
            arguments[1] && strcmp(arguments[1], space + 1) == 0) {
            *ret_words = 2;
            return mu_commands[i];
        }
    }
    return NULL;
}

bool mu_command_is_of(const struct mu_command *command, const char *word)
{
    size_t length = strlen(word);
    return strncmp(command->name, word, length) == 0 && command->name[length] == ' ';
}
