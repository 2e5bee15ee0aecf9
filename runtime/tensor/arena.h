/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TENSOR_ARENA_H
#define MU_TENSOR_ARENA_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>

/* A flat vector: zeroed, page-aligned, on huge pages where the system gives them for the asking. */
struct mu_arena {
    float *data;
    size_t count;
    size_t mapped_bytes, touched_bytes;
};

/* Every page touched once, so that no step pays a page fault. NO_MEMORY. */
enum mu_status mu_arena_init(struct mu_arena *arena, size_t count);
/* The same, and no page touched: what nobody writes to takes no memory. NO_MEMORY. */
enum mu_status mu_arena_reserve(struct mu_arena *arena, size_t count);
/* Touches up to `bytes_max` more of what was reserved, whatever it holds. True: all is touched. For
 * threads that may not be silent for as long as all of it takes. */
bool mu_arena_touch(struct mu_arena *arena, size_t bytes_max);
/* The same of one part, which lies within it. */
void mu_arena_touch_part(struct mu_arena *arena, size_t first_byte, size_t bytes);
void mu_arena_finish(struct mu_arena *arena); /* takes a zeroed one */

#endif
