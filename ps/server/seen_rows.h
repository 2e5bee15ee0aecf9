/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SEEN_ROWS_H
#define MU_PS_SEEN_ROWS_H

#include "runtime/tensor/arena.h"
#include "runtime/tensor/unique.h"

/*
 * The embedding rows that workers compute with, as seen.h has the dense parameters: of each worker
 * the rows that its last replies brought, with the version that they are of.
 *
 *   reply    | ids (push_max) | values (push_max, width) |
 *
 * A gradient's rows came with the reply that brought the parameters that it was computed with, as a
 * rule in the same order; they are looked for in all replies of that version. What a version says
 * of a row is the same whoever was told, so nothing that is found here can be wrong.
 *
 *   push_max * (8 + 4 * width) * workers * in flight, and 8 * push_max
 */
struct mu_seen_reply {
    int64_t version; /* -1: none */
    size_t count;
};

struct mu_seen_rows {
    struct mu_arena memory;
    struct mu_seen_reply *reply; /* (workers, in_flight) */
    const float **found;         /* (push_max) */
    size_t push_max, width, stride;
    int in_flight;
};

/* The memory is reserved (runtime/tensor/arena.h). NO_MEMORY. */
enum mu_status mu_seen_rows_init(
    struct mu_seen_rows *seen, size_t push_max, size_t width, int worker_count, int in_flight);
void mu_seen_rows_finish(struct mu_seen_rows *seen); /* takes a zeroed one */
/* The reply to request `sequence` brings these rows: where their values (count, width) go. NULL: a
 * zeroed one, nothing is kept. */
float *mu_seen_rows_store(struct mu_seen_rows *seen, int worker, uint64_t sequence,
    const uint64_t *ids, size_t count, int64_t version);
/* The values (count) of different rows, each (width), valid until the next call; NULL: one of them
 * came in no reply that is kept and had this version. `scratch` has room for push_max ids. */
const float *const *mu_seen_rows_find(struct mu_seen_rows *seen, int worker, int64_t version,
    const uint64_t *ids, size_t count, struct mu_unique *scratch);
/* Of the memory that is reserved. */
size_t mu_seen_rows_bytes(size_t push_max, size_t width, int worker_count, int in_flight);

#endif
