/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LIBRARY_HELP_H
#define MU_ROLES_LIBRARY_HELP_H

#include "runtime/base/errors.h"

/* What helps the caller of muster/ps.h or muster/collectives.h, as mu_log has it: what says how to
 * use the trainer is replaced. */
const char *mu_library_help(enum mu_error error, const char *help);

#endif
