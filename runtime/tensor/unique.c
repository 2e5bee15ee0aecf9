/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/tensor/unique.h"
#include <assert.h>
#include <stdlib.h>

/* A cell is empty unless it has the generation of this batch. */
struct mu_unique_cell {
    uint64_t id;
    uint32_t generation, index;
};

#define CELLS_MIN 64
#define ENTRIES_MAX (UINT32_MAX / 4)
/* Entries whose cells are on their way from the outer cache. */
#define AHEAD 16

/* Cells that are at most two thirds full. */
static uint32_t mask_for(size_t entries)
{
    size_t cells = CELLS_MIN;
    while (cells < entries + entries / 2)
        cells *= 2;
    return (uint32_t)(cells - 1);
}

enum mu_status mu_unique_init(struct mu_unique *unique, size_t entry_max)
{
    *unique = (struct mu_unique){.entry_max = entry_max};
    if (entry_max > ENTRIES_MAX)
        return MU_NO_MEMORY;
    unique->mask = unique->mask_max = mask_for(entry_max);
    unique->cell = calloc((size_t)unique->mask + 1, sizeof(*unique->cell));
    unique->id = malloc((entry_max > 0 ? entry_max : 1) * sizeof(*unique->id));
    if (unique->cell && unique->id)
        return MU_OK;
    mu_unique_finish(unique);
    return MU_NO_MEMORY;
}

uint64_t mu_unique_bytes(const struct mu_unique *unique)
{
    if (!unique->cell)
        return 0;
    return ((uint64_t)unique->mask_max + 1) * sizeof(*unique->cell) +
           unique->entry_max * sizeof(*unique->id);
}

void mu_unique_finish(struct mu_unique *unique)
{
    free(unique->cell);
    free(unique->id);
    *unique = (struct mu_unique){0};
}

__extension__ typedef unsigned __int128 uint128;

/* The two halves of a product folded into one (Wang Yi's wyhash, 2019): every bit of the id counts,
 * so that strides of any kind spread. */
static uint32_t home_of(const struct mu_unique *unique, uint64_t id)
{
    uint128 product = (uint128)(id ^ UINT64_C(0xa0761d6478bd642f)) * UINT64_C(0xe7037ed1a0b428db);
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & unique->mask;
}

void mu_unique_clear(struct mu_unique *unique)
{
    unique->count = 0;
    unique->mask = unique->mask_max;
    if (++unique->generation != 0)
        return;
    for (size_t i = 0; i <= unique->mask_max; i++)
        unique->cell[i].generation = 0;
    unique->generation = 1;
}

/* Which of the ids so far, the new one included. */
static uint32_t index_of(struct mu_unique *unique, uint64_t id)
{
    uint32_t at = home_of(unique, id);
    struct mu_unique_cell *cell = &unique->cell[at];
    for (; cell->generation == unique->generation; cell = &unique->cell[at]) {
        if (cell->id == id)
            return cell->index;
        at = (at + 1) & unique->mask;
    }
    assert(unique->count < unique->entry_max);
    uint32_t index = (uint32_t)unique->count++;
    *cell = (struct mu_unique_cell){.id = id, .generation = unique->generation, .index = index};
    unique->id[index] = id;
    return index;
}

static void begin_batch(struct mu_unique *unique, size_t count)
{
    assert(count <= unique->entry_max);
    mu_unique_clear(unique);
    unique->mask = mask_for(count);
}

static void prefetch(const struct mu_unique *unique, const uint64_t *ids, size_t count, size_t i)
{
    size_t later = i + AHEAD < count ? i + AHEAD : i;
    __builtin_prefetch(&unique->cell[home_of(unique, ids[later])]);
}

void mu_unique_find(
    struct mu_unique *unique, const uint64_t *ids, size_t count, uint32_t *ret_of_entry)
{
    begin_batch(unique, count);
    for (size_t i = 0; i < count; i++) {
        prefetch(unique, ids, count, i);
        ret_of_entry[i] = index_of(unique, ids[i]);
    }
}

bool mu_unique_are(struct mu_unique *unique, const uint64_t *ids, size_t count)
{
    begin_batch(unique, count);
    for (size_t i = 0; i < count; i++) {
        prefetch(unique, ids, count, i);
        if (index_of(unique, ids[i]) != i)
            return false;
    }
    return true;
}

uint32_t mu_unique_add(struct mu_unique *unique, uint64_t id)
{
    assert(unique->generation > 0);
    return index_of(unique, id);
}

uint32_t mu_unique_look(const struct mu_unique *unique, uint64_t id)
{
    uint32_t at = home_of(unique, id);
    for (; unique->cell[at].generation == unique->generation; at = (at + 1) & unique->mask)
        if (unique->cell[at].id == id)
            return unique->cell[at].index;
    return MU_UNIQUE_NONE;
}
