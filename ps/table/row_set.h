/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_ROW_SET_H
#define MU_PS_ROW_SET_H

#include "ps/split.h"
#include "runtime/tensor/unique.h"

/*
 * The embedding rows of a batch, each once, those of server 0 first, then those of server 1, ...:
 * what lies in this order, their values and their gradients, goes to each server and comes from it
 * in one piece.
 *
 *   entries of the batch   7 3 7 9 3        of_entry  0 2 0 1 2
 *   id                     7 9 | 3          first     0 2 3        (7 and 9 are of server 0)
 */
struct mu_row_set {
    size_t count;
    uint64_t *id;                        /* (count) */
    uint32_t *place;                     /* (count): scratch */
    size_t first[MU_PS_SERVERS_MAX + 1]; /* rows of server i: first[i] to first[i + 1] */
};

/* For batches of at most `entry_max` entries. NO_MEMORY. */
enum mu_status mu_row_set_init(struct mu_row_set *set, size_t entry_max);
void mu_row_set_finish(struct mu_row_set *set); /* takes a zeroed one */
/* From the different ids of a batch of `count` entries; `ret_of_entry` (count), which may be
 * different->of_entry. */
void mu_row_set_take(struct mu_row_set *set, const struct mu_row_split *split,
    const struct mu_ids *different, size_t count, uint32_t *ret_of_entry);
/* From the ids of all its entries. `unique` is scratch, for at least as many. */
void mu_row_set_find(struct mu_row_set *set, struct mu_unique *unique,
    const struct mu_row_split *split, const uint64_t *ids, size_t count, uint32_t *ret_of_entry);

#endif
