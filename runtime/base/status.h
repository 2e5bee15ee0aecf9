/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_STATUS_H
#define MU_BASE_STATUS_H

#include "muster/status.h"
#include <assert.h>

/* "UNAVAILABLE" */
const char *mu_status_name(enum mu_status status);
/* "a peer or a service is unavailable" */
const char *mu_status_text(enum mu_status status);
/* The exit code of a process that ends for this reason. */
int mu_status_exit(enum mu_status status);
/* The text of the first status that ends a process with this code, or that it is of none. */
const char *mu_status_exit_text(int code);

#define MU_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
