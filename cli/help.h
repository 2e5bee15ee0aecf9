/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_HELP_H
#define MU_CLI_HELP_H

#include "cli/args.h"

/* `muster --help`: examples first, every command in a line, 24 lines of 80 columns. */
void mu_help_overview(struct mu_text *out);
/* `muster spec --help`: the commands whose first word it is. */
void mu_help_group(const char *word, struct mu_text *out);
/* `muster run --help` */
void mu_help_command(const struct mu_command *command, struct mu_text *out);

/* The manual pages, in troff (man macros). */
void mu_help_man_overview(struct mu_text *out);
void mu_help_man_command(const struct mu_command *command, struct mu_text *out);
void mu_help_man_job(struct mu_text *out);

#endif
