/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_MAN_PLAIN_H
#define MU_CLI_MAN_PLAIN_H

#include "runtime/base/text.h"

/* One of our own manual pages (help_man.c) as plain text of 80 columns, for a host without `man`:
 * it knows the requests that those pages have, and no others. */
void mu_man_plain(const char *page, struct mu_text *out);

#endif
