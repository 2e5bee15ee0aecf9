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

/* The calling thread mostly waits, and others wait for what it does then: where it is one of many
 * on a processor the kernel may let it go first, though not for longer (a short slice; Linux 6.12
 * and later, elsewhere nothing changes). */
void mu_processors_answer_soon(void);

#endif
