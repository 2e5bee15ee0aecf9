/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SPLIT_H
#define MU_PS_SPLIT_H

#include "muster/tensor.h"
#include <stdbool.h>

#define MU_PS_SERVERS_MAX 64

/* The part of the flat vector that server `order` of `server_count` keeps: the spans of all servers
 * follow each other, cover the vector, are cut at multiples of MU_VIEW_ALIGN elements (of one where
 * a server would have fewer than ten such units), and differ by at most one such unit: the first
 * servers have the larger ones, none over 1.1 times the mean from ten elements a server on. A span
 * may be empty. */
struct mu_span mu_split(size_t element_count, int server_count, int order);

/* The server that keeps the row of an embedding table: by a hash of the id, the same everywhere. */
int mu_split_row(uint64_t id, int server_count);

/* How rows are split over servers: by that hash, which spreads any ids; or by ranges, where
 * neighbours are wanted together, or rows are wanted in order: server `order` keeps the range that
 * mu_row_split_range says of the ids below range_ids, and the last one also what lies above. */
struct mu_row_split {
    int server_count;
    uint64_t range_ids; /* 0: by the hash */
};

struct mu_id_range {
    uint64_t first, count;
};

static inline struct mu_row_split mu_row_split_by(int server_count, bool by_range, uint64_t ids)
{
    return (struct mu_row_split){.server_count = server_count, .range_ids = by_range ? ids : 0};
}

int mu_row_split_server(const struct mu_row_split *split, uint64_t id);
/* Ranges follow each other and differ by at most one id. With range_ids > 0. */
struct mu_id_range mu_row_split_range(const struct mu_row_split *split, int order);

#endif
