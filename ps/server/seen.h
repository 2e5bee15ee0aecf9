/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SEEN_H
#define MU_PS_SEEN_H

#include "runtime/tensor/arena.h"
#include <stdint.h>

/*
 * What workers compute with: of each worker the parameters (one server's span) that its last
 * replies brought, as many as it may have pushes under way. A gradient's parameters are among them
 * when it comes: between the reply they came in and the gradient itself lie less pushes than that.
 *
 *   bytes of the span * workers * in flight, and one vector more for the policy's own
 */
struct mu_seen {
    struct mu_arena memory, mean_square;
    int64_t *versions; /* (workers, in_flight); -1: none */
    size_t span_count, stride;
    int in_flight;
};

/* Both are reserved (runtime/tensor/arena.h). NO_MEMORY. */
enum mu_status mu_seen_init(
    struct mu_seen *seen, size_t span_count, int worker_count, int in_flight);
void mu_seen_finish(struct mu_seen *seen); /* takes a zeroed one */
/* What the reply to push `sequence` brings. Nothing happens in a zeroed one. */
void mu_seen_store(
    struct mu_seen *seen, int worker, uint64_t sequence, const float *parameters, int64_t version);
/* (span_count), or NULL: no reply that is kept had this version. */
const float *mu_seen_find(const struct mu_seen *seen, int worker, int64_t version);
size_t mu_seen_bytes(size_t span_count, int worker_count, int in_flight);

#endif
