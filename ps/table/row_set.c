/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/row_set.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum mu_status mu_row_set_init(struct mu_row_set *set, size_t entry_max)
{
    *set = (struct mu_row_set){.id = calloc(entry_max + 1, sizeof(*set->id)),
        .place = calloc(entry_max + 1, sizeof(*set->place))};
    return set->id && set->place ? MU_OK : MU_NO_MEMORY;
}

void mu_row_set_finish(struct mu_row_set *set)
{
    free(set->id);
    free(set->place);
    *set = (struct mu_row_set){0};
}

/* Where the rows of each server begin. */
static void count_rows(
    struct mu_row_set *set, const struct mu_row_split *split, const struct mu_ids *different)
{
    memset(set->first, 0, sizeof(set->first));
    for (size_t i = 0; i < different->count; i++)
        set->first[mu_row_split_server(split, different->id[i]) + 1]++;
    for (int s = 0; s < split->server_count; s++)
        set->first[s + 1] += set->first[s];
}

/* A counting sort. */
static void sort_by_server(
    struct mu_row_set *set, const struct mu_row_split *split, const struct mu_ids *different)
{
    size_t next[MU_PS_SERVERS_MAX + 1];
    memcpy(next, set->first, sizeof(next));
    for (size_t i = 0; i < different->count; i++) {
        size_t place = next[mu_row_split_server(split, different->id[i])]++;
        set->id[place] = different->id[i];
        set->place[i] = (uint32_t)place;
    }
}

void mu_row_set_take(struct mu_row_set *set, const struct mu_row_split *split,
    const struct mu_ids *different, size_t count, uint32_t *ret_of_entry)
{
    assert(split->server_count > 0 && split->server_count <= MU_PS_SERVERS_MAX);
    set->count = different->count;
    if (split->server_count == 1) {
        set->first[0] = 0;
        set->first[1] = set->count;
        memcpy(set->id, different->id, set->count * sizeof(*set->id));
        if (ret_of_entry != different->of_entry)
            memcpy(ret_of_entry, different->of_entry, count * sizeof(*ret_of_entry));
        return;
    }
    count_rows(set, split, different);
    sort_by_server(set, split, different);
    for (size_t i = 0; i < count; i++)
        ret_of_entry[i] = set->place[different->of_entry[i]];
}

void mu_row_set_find(struct mu_row_set *set, struct mu_unique *unique,
    const struct mu_row_split *split, const uint64_t *ids, size_t count, uint32_t *ret_of_entry)
{
    mu_unique_find(unique, ids, count, ret_of_entry);
    const struct mu_ids different = {
        .count = unique->count, .id = unique->id, .of_entry = ret_of_entry};
    mu_row_set_take(set, split, &different, count, ret_of_entry);
}
