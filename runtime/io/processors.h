/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_PROCESSORS_H
#define MU_IO_PROCESSORS_H

#include <stdint.h>

/* Processors that this process may run on, 1 or more. */
int mu_processors_count(void);
/* Which those are, a bit each: ranks bound to one processor each do not crowd each other. From 1024
 * on they begin again at bit 0, so that a set may look smaller than it is. */
#define MU_PROCESSORS_WORDS 16
void mu_processors_allowed(uint64_t ret_set[MU_PROCESSORS_WORDS]);

#endif
