/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_EXIT_CODES_H
#define MU_CLI_EXIT_CODES_H

#include <stdbool.h>
#include <stdint.h>

/* What `muster explain` says of the code that a process ended with, signals included; false: no
 * task of ours ends with it. */
bool mu_exit_code_print(int64_t code);

#endif
