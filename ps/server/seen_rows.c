/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/seen_rows.h"
#include "muster/tensor.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ID_FLOATS (sizeof(uint64_t) / sizeof(float))

/* Floats of one reply; the values are where the ids of push_max rows end. */
static size_t stride_of(size_t push_max, size_t width)
{
    size_t floats = push_max * (ID_FLOATS + width);
    return (floats + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN;
}

enum mu_status mu_seen_rows_init(
    struct mu_seen_rows *seen, size_t push_max, size_t width, int worker_count, int in_flight)
{
    size_t kept = (size_t)worker_count * (size_t)in_flight;
    *seen = (struct mu_seen_rows){.push_max = push_max,
        .width = width,
        .stride = stride_of(push_max, width),
        .in_flight = in_flight};
    seen->reply = calloc(kept, sizeof(*seen->reply));
    seen->found = calloc(push_max + 1, sizeof(*seen->found));
    enum mu_status status = seen->reply && seen->found ? MU_OK : MU_NO_MEMORY;
    if (status == MU_OK)
        status = mu_arena_reserve(&seen->memory, kept * seen->stride);
    if (status != MU_OK) {
        mu_seen_rows_finish(seen);
        return status;
    }
    for (size_t i = 0; i < kept; i++)
        seen->reply[i].version = -1;
    return MU_OK;
}

void mu_seen_rows_finish(struct mu_seen_rows *seen)
{
    mu_arena_finish(&seen->memory);
    free(seen->reply);
    free(seen->found);
    *seen = (struct mu_seen_rows){0};
}

static uint64_t *ids_at(const struct mu_seen_rows *seen, size_t at)
{
    return (uint64_t *)(void *)(seen->memory.data + at * seen->stride);
}

static float *values_at(const struct mu_seen_rows *seen, size_t at)
{
    return seen->memory.data + at * seen->stride + seen->push_max * ID_FLOATS;
}

float *mu_seen_rows_store(struct mu_seen_rows *seen, int worker, uint64_t sequence,
    const uint64_t *ids, size_t count, int64_t version)
{
    if (!seen->reply)
        return NULL;
    size_t at = (size_t)worker * (size_t)seen->in_flight + sequence % (size_t)seen->in_flight;
    assert(count <= seen->push_max);
    memcpy(ids_at(seen, at), ids, count * sizeof(*ids));
    seen->reply[at] = (struct mu_seen_reply){.version = version, .count = count};
    return values_at(seen, at);
}

/* ---- finding ---- */

/* The same rows in the same order? */
static bool is_same(const struct mu_seen_rows *seen, size_t at, const uint64_t *ids, size_t count)
{
    return seen->reply[at].count == count &&
           memcmp(ids_at(seen, at), ids, count * sizeof(*ids)) == 0;
}

static void take_all(struct mu_seen_rows *seen, size_t at, size_t count)
{
    const float *values = values_at(seen, at);
    for (size_t i = 0; i < count; i++)
        seen->found[i] = values + i * seen->width;
}

/* Those of the ids in `wanted` that came with this reply; how many were not found before. */
static size_t take_some(struct mu_seen_rows *seen, size_t at, const struct mu_unique *wanted)
{
    const uint64_t *ids = ids_at(seen, at);
    const float *values = values_at(seen, at);
    size_t count = 0;
    for (size_t i = 0; i < seen->reply[at].count; i++) {
        uint32_t index = mu_unique_look(wanted, ids[i]);
        if (index == MU_UNIQUE_NONE || seen->found[index])
            continue;
        seen->found[index] = values + i * seen->width;
        count++;
    }
    return count;
}

const float *const *mu_seen_rows_find(struct mu_seen_rows *seen, int worker, int64_t version,
    const uint64_t *ids, size_t count, struct mu_unique *scratch)
{
    size_t first = (size_t)worker * (size_t)seen->in_flight;
    size_t end = seen->reply ? first + (size_t)seen->in_flight : first, left = count;
    for (size_t at = first; at < end; at++)
        if (seen->reply[at].version == version && is_same(seen, at, ids, count)) {
            take_all(seen, at, count);
            return seen->found;
        }
    if (!seen->reply || !mu_unique_are(scratch, ids, count))
        return NULL;
    memset(seen->found, 0, count * sizeof(*seen->found));
    for (size_t at = first; left > 0 && at < end; at++)
        if (seen->reply[at].version == version)
            left -= take_some(seen, at, scratch);
    return left == 0 ? seen->found : NULL;
}

size_t mu_seen_rows_bytes(size_t push_max, size_t width, int worker_count, int in_flight)
{
    size_t kept = (size_t)worker_count * (size_t)in_flight;
    return kept * stride_of(push_max, width) * sizeof(float);
}
