/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/seen.h"
#include "muster/tensor.h"
#include <stdlib.h>
#include <string.h>

static size_t stride_of(size_t span_count)
{
    return (span_count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN + MU_VIEW_ALIGN;
}

enum mu_status mu_seen_init(
    struct mu_seen *seen, size_t span_count, int worker_count, int in_flight)
{
    size_t kept = (size_t)worker_count * (size_t)in_flight;
    *seen = (struct mu_seen){
        .span_count = span_count, .stride = stride_of(span_count), .in_flight = in_flight};
    seen->versions = calloc(kept, sizeof(*seen->versions));
    enum mu_status status = seen->versions ? MU_OK : MU_NO_MEMORY;
    if (status == MU_OK)
        status = mu_arena_reserve(&seen->memory, kept * seen->stride);
    if (status == MU_OK)
        status = mu_arena_reserve(&seen->mean_square, seen->stride);
    if (status != MU_OK) {
        mu_seen_finish(seen);
        return status;
    }
    for (size_t i = 0; i < kept; i++)
        seen->versions[i] = -1;
    return MU_OK;
}

void mu_seen_finish(struct mu_seen *seen)
{
    mu_arena_finish(&seen->memory);
    mu_arena_finish(&seen->mean_square);
    free(seen->versions);
    *seen = (struct mu_seen){0};
}

void mu_seen_store(
    struct mu_seen *seen, int worker, uint64_t sequence, const float *parameters, int64_t version)
{
    if (!seen->versions)
        return;
    size_t at = (size_t)worker * (size_t)seen->in_flight + sequence % (size_t)seen->in_flight;
    memcpy(seen->memory.data + at * seen->stride, parameters, seen->span_count * sizeof(float));
    seen->versions[at] = version;
}

const float *mu_seen_find(const struct mu_seen *seen, int worker, int64_t version)
{
    for (size_t i = 0; seen->versions && i < (size_t)seen->in_flight; i++) {
        size_t at = (size_t)worker * (size_t)seen->in_flight + i;
        if (seen->versions[at] == version)
            return seen->memory.data + at * seen->stride;
    }
    return NULL;
}

size_t mu_seen_bytes(size_t span_count, int worker_count, int in_flight)
{
    size_t kept = (size_t)worker_count * (size_t)in_flight;
    return (kept + 1) * stride_of(span_count) * sizeof(float);
}
