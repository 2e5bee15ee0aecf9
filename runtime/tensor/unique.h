/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TENSOR_UNIQUE_H
#define MU_TENSOR_UNIQUE_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The different ids of a batch, in the order in which they first occur, and for every entry which
 * of them it has: so that a row travels once a batch. A hash table that is emptied by counting
 * generations, never by writing. Allocates nothing after init.
 */
struct mu_unique {
    size_t entry_max;
    uint32_t mask, mask_max, generation; /* a short batch uses the first cells alone */
    struct mu_unique_cell *cell;
    uint64_t *id; /* (entry_max): the different ids */
    size_t count;
};

enum mu_status mu_unique_init(struct mu_unique *unique, size_t entry_max); /* NO_MEMORY */
uint64_t mu_unique_bytes(const struct mu_unique *unique);                  /* of memory */
void mu_unique_finish(struct mu_unique *unique);                           /* takes a zeroed one */
/* Sets unique->id and count; `ret_of_entry` (count). `count` is at most entry_max. */
void mu_unique_find(
    struct mu_unique *unique, const uint64_t *ids, size_t count, uint32_t *ret_of_entry);

/* Are they all different? At most entry_max. */
bool mu_unique_are(struct mu_unique *unique, const uint64_t *ids, size_t count);

/* The same one by one: clear, then add, which says which of the ids so far this is. At most
 * entry_max different ones between two clears. */
void mu_unique_clear(struct mu_unique *unique);
uint32_t mu_unique_add(struct mu_unique *unique, uint64_t id);
/* Which of the ids of the last batch, or since the clear, this is; MU_UNIQUE_NONE: of none. */
#define MU_UNIQUE_NONE UINT32_MAX
uint32_t mu_unique_look(const struct mu_unique *unique, uint64_t id);

#endif
