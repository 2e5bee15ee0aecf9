/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_set.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum mu_status mu_row_set_init(struct mu_row_set *set, size_t entry_max)
{
    *set = (struct mu_row_set){.id = calloc(entry_max + 1, sizeof(*set->id))};
    return set->id ? MU_OK : MU_NO_MEMORY;
}

void mu_row_set_finish(struct mu_row_set *set)
{
    free(set->id);
    *set = (struct mu_row_set){0};
}

/* Where the rows of each server begin. */
static void count_rows(
    struct mu_row_set *set, const struct mu_unique *unique, const struct mu_row_split *split)
{
    memset(set->first, 0, sizeof(set->first));
    for (size_t i = 0; i < unique->count; i++)
        set->first[mu_row_split_server(split, unique->id[i]) + 1]++;
    for (int s = 0; s < split->server_count; s++)
        set->first[s + 1] += set->first[s];
}

/* A counting sort; the scratch holds the new place of each id after it. */
static void sort_by_server(
    struct mu_row_set *set, struct mu_unique *unique, const struct mu_row_split *split)
{
    size_t next[MU_PS_SERVERS_MAX + 1];
    memcpy(next, set->first, sizeof(next));
    for (size_t i = 0; i < unique->count; i++) {
        uint64_t id = unique->id[i];
        size_t place = next[mu_row_split_server(split, id)]++;
        set->id[place] = id;
        unique->id[i] = place;
    }
}

void mu_row_set_find(struct mu_row_set *set, struct mu_unique *unique,
    const struct mu_row_split *split, const uint64_t *ids, size_t count, uint32_t *ret_of_entry)
{
    assert(split->server_count > 0 && split->server_count <= MU_PS_SERVERS_MAX);
    mu_unique_find(unique, ids, count, ret_of_entry);
    set->count = unique->count;
    if (split->server_count == 1) {
        set->first[0] = 0;
        set->first[1] = set->count;
        memcpy(set->id, unique->id, set->count * sizeof(*set->id));
        return;
    }
    count_rows(set, unique, split);
    sort_by_server(set, unique, split);
    for (size_t i = 0; i < count; i++)
        ret_of_entry[i] = (uint32_t)unique->id[ret_of_entry[i]];
}
