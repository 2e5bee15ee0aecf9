/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_dense.h"
#include <assert.h>
#include <stdlib.h>

enum mu_status mu_table_dense_init(
    struct mu_table_dense *dense, uint64_t id_count, int order, const struct mu_row_split *split)
{
    *dense = (struct mu_table_dense){.id_count = id_count,
        .range = {0, id_count},
        .order = order,
        .server_count = split->server_count};
    if (id_count / (uint64_t)split->server_count > MU_TABLE_ROWS_MAX)
        return MU_NO_MEMORY;
    if (split->range_ids > 0)
        dense->range = mu_row_split_range(split, order);
    if (split->range_ids > 0 || split->server_count == 1)
        return MU_OK;
    dense->word = calloc(id_count / 64 + 1, sizeof(*dense->word));
    return dense->word ? MU_OK : MU_NO_MEMORY;
}

/* All rows of ids below those of the word after this one. */
static uint64_t rows_up_to(const struct mu_table_dense_word *word)
{
    return word->before + (uint64_t)__builtin_popcountll(word->bits);
}

void mu_table_dense_mark(struct mu_table_dense *dense, uint64_t id)
{
    struct mu_table_dense_word *word = &dense->word[id / 64];
    uint64_t end = id + 64 < dense->id_count ? id + 64 : dense->id_count;
    assert(id % 64 == 0);
    assert(id < dense->id_count);
    word->before = id > 0 ? rows_up_to(word - 1) : 0;
    for (uint64_t i = id; i < end; i++)
        if (mu_split_row(i, dense->server_count) == dense->order)
            word->bits |= UINT64_C(1) << i % 64;
}

void mu_table_dense_finish(struct mu_table_dense *dense)
{
    free(dense->word);
    *dense = (struct mu_table_dense){0};
}

uint64_t mu_table_dense_bytes(const struct mu_table_dense *dense)
{
    return dense->word ? (dense->id_count / 64 + 1) * sizeof(*dense->word) : 0;
}
