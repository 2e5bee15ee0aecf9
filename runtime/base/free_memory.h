/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_FREE_MEMORY_H
#define MU_BASE_FREE_MEMORY_H

#include <stdint.h>

/* Bytes that this process may still take before the machine, or the group of processes that it is
 * in (cgroup v2), has none left: what the kernel would end it for, long after it gave the addresses
 * away. UINT64_MAX: nothing says. Changes all the time. */
uint64_t mu_free_memory_bytes(void);

#endif
