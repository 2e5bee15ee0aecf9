/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table_dense.h"
#include "ps/split.h"
#include <stdlib.h>

static void mark_ours(struct mu_table_dense *dense, int order, int server_count)
{
    for (uint64_t id = 0; id < dense->id_count; id++) {
        struct mu_table_dense_word *word = &dense->word[id / 64];
        if (id % 64 == 0)
            word->before = dense->row_count;
        if (mu_split_row(id, server_count) != order)
            continue;
        word->bits |= UINT64_C(1) << id % 64;
        dense->row_count++;
    }
}

enum mu_status mu_table_dense_init(
    struct mu_table_dense *dense, uint64_t id_count, int order, int server_count)
{
    *dense = (struct mu_table_dense){.id_count = id_count, .row_count = id_count};
    if (id_count / (uint64_t)server_count > MU_TABLE_ROWS_MAX)
        return MU_NO_MEMORY;
    if (server_count == 1)
        return MU_OK;
    dense->word = calloc(id_count / 64 + 1, sizeof(*dense->word));
    if (!dense->word)
        return MU_NO_MEMORY;
    dense->row_count = 0;
    mark_ours(dense, order, server_count);
    return dense->row_count <= MU_TABLE_ROWS_MAX ? MU_OK : MU_NO_MEMORY;
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
