/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TENSOR_ARENA_H
#define MU_TENSOR_ARENA_H

#include "runtime/base/status.h"
#include <stddef.h>

/* A flat vector: zeroed, page-aligned, touched once so that no step pays a page fault, on huge
 * pages where the system gives them for the asking. */
struct mu_arena {
    float *data;
    size_t count;
    size_t mapped_bytes;
};

enum mu_status mu_arena_init(struct mu_arena *arena, size_t count); /* NO_MEMORY */
void mu_arena_finish(struct mu_arena *arena);                       /* takes a zeroed one */

#endif
