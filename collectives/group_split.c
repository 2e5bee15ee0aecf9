/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/shared.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/text.h"
#include <stdlib.h>

struct claim {
    int32_t color, key;
};

/* What every rank of the group said. */
static enum mu_status exchange_claims(struct mu_group *group, struct claim mine, struct claim all[])
{
    size_t *counts = calloc((size_t)group->count, sizeof(*counts));
    if (!counts)
        return MU_NO_MEMORY;
    for (int rank = 0; rank < group->count; rank++)
        counts[rank] = sizeof(mine) / sizeof(int32_t);
    all[group->rank] = mine;
    enum mu_status status = mu_group_allgather(group, all, counts, MU_INT32);
    free(counts);
    return status;
}

/* The ranks of a color by (key, rank); how many. Groups are small. */
static int select_ranks(const struct claim all[], int count, int32_t color, int ret_rank[])
{
    int found = 0;
    for (int rank = 0; rank < count; rank++) {
        if (all[rank].color != color)
            continue;
        int at = found++;
        for (; at > 0 && all[ret_rank[at - 1]].key > all[rank].key; at--)
            ret_rank[at] = ret_rank[at - 1];
        ret_rank[at] = rank;
    }
    return found;
}

/* Is all of it on this host, as far as its parent knows? Equal on all its ranks. */
static bool is_at_home(const struct mu_group *group)
{
    const struct mu_group *home = group->parent->home;
    int found = 0;
    if (group->parent->shared)
        return true;
    for (int rank = 0; home && rank < group->count; rank++)
        for (int i = 0; i < home->count; i++)
            found += home->member[i] == group->member[rank];
    return found == group->count;
}

/* Why there is none has been said when the whole group was made. */
static enum mu_status share_memory(struct mu_group *group)
{
    static struct mu_log quiet = {.write = mu_log_write_nothing};
    if (group->count == 1 || !is_at_home(group))
        return MU_OK;
    return mu_shared_open(group, &quiet, mu_deadline(mu_now(group->world), group->timeout_ns));
}

static enum mu_status make_part(struct mu_group *parent, const struct claim all[], int rank[],
    uint32_t id, struct mu_group **ret_group)
{
    int count = select_ranks(all, parent->count, all[parent->rank].color, rank);
    struct mu_group *group = calloc(1, sizeof(*group));
    if (!group)
        return MU_NO_MEMORY;
    enum mu_status status = mu_group_init_part(group, parent, rank, count, id);
    if (status == MU_OK)
        status = share_memory(group);
    if (status != MU_OK) {
        mu_group_finish(group);
        free(group);
        return status;
    }
    *ret_group = group;
    return MU_OK;
}

/* Another one for each color: ranks tell also those of other groups what they do. */
static uint32_t new_id(struct mu_group *parent, int color)
{
    uint32_t which[2] = {++parent->splits, (uint32_t)color};
    uint32_t id = mu_crc32c(parent->id, which, sizeof(which));
    return id ? id : 1;
}

enum mu_status mu_group_split(
    struct mu_group *group, int color, int key, struct mu_group **ret_group)
{
    struct claim mine = {color, key};
    struct claim *all = calloc((size_t)group->count, sizeof(*all));
    int *rank = calloc((size_t)group->count, sizeof(*rank));
    enum mu_status status = MU_NO_MEMORY;
    struct mu_group *part = NULL;
    if (all && rank)
        status = exchange_claims(group, mine, all);
    uint32_t id = new_id(group, color);
    if (status == MU_OK && color >= 0)
        status = make_part(group, all, rank, id, &part);
    free(all);
    free(rank);
    if (status == MU_NO_MEMORY)
        mu_format(group->error, sizeof(group->error), "no memory for a group");
    if (status == MU_OK)
        *ret_group = part;
    return status;
}
