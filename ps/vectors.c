/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/vectors.h"
#include "muster/tensor.h"
#include "runtime/base/net.h"
#include <assert.h>

#define PAGE_BYTES ((size_t)4096)
#define LAID_BYTES ((size_t)16 << 20) /* between two turns of the loop */
static_assert(MU_VECTORS_ALIGN == MU_VIEW_ALIGN * sizeof(float), "vectors begin as views do");

/* One place more than the elements need: vectors a power of two apart would share the same lines of
 * a cache. */
static size_t stride_of(size_t element_count)
{
    return (element_count + MU_VIEW_ALIGN - 1) / MU_VIEW_ALIGN * MU_VIEW_ALIGN + MU_VIEW_ALIGN;
}

static size_t floats_of(const struct mu_vectors *vectors, size_t row_bytes)
{
    return vectors->count * vectors->stride + MU_VIEW_ALIGN +
           (row_bytes + sizeof(float) - 1) / sizeof(float);
}

enum mu_status mu_vectors_init(struct mu_vectors *vectors, size_t count, size_t element_count,
    size_t row_bytes, struct mu_loop *loop)
{
    *vectors = (struct mu_vectors){.count = count, .stride = stride_of(element_count)};
    MU_TRY(mu_arena_reserve(&vectors->own, floats_of(vectors, row_bytes)));
    while (!mu_arena_touch(&vectors->own, LAID_BYTES))
        mu_loop_poll(loop);
    vectors->data = vectors->own.data + MU_VIEW_ALIGN;
    return MU_OK;
}

enum mu_status mu_vectors_init_shared(struct mu_vectors *vectors, size_t count,
    size_t element_count, size_t row_bytes, struct mu_loop *loop,
    char why[MU_SHARED_MEMORY_WHY_MAX])
{
    *vectors = (struct mu_vectors){.count = count, .stride = stride_of(element_count)};
    size_t bytes = floats_of(vectors, row_bytes) * sizeof(float);
    bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    MU_TRY(mu_shared_memory_create(&vectors->shared, bytes, loop, why));
    vectors->data = (float *)vectors->shared.at + MU_VIEW_ALIGN;
    return MU_OK;
}

void mu_vectors_finish(struct mu_vectors *vectors)
{
    mu_arena_finish(&vectors->own);
    mu_shared_memory_close(&vectors->shared);
    *vectors = (struct mu_vectors){0};
}

float *mu_vectors_at(const struct mu_vectors *vectors, size_t index)
{
    assert(index < vectors->count);
    return vectors->data + index * vectors->stride;
}

void *mu_vectors_rows(const struct mu_vectors *vectors)
{
    return vectors->data + vectors->count * vectors->stride;
}

int64_t mu_vectors_place(
    const struct mu_vectors *vectors, const void *at, size_t bytes, size_t align)
{
    if (!vectors || !vectors->shared.at || !at)
        return 0;
    /* `at` may point anywhere: compared as numbers. */
    uintptr_t start = (uintptr_t)vectors->shared.at, place = (uintptr_t)at - start;
    if ((uintptr_t)at < start || place > INT64_MAX)
        return 0;
    return mu_vectors_find(&vectors->shared, (int64_t)place, bytes, align) ? (int64_t)place : 0;
}

void *mu_vectors_find(
    const struct mu_shared_memory *shared, int64_t place, size_t bytes, size_t align)
{
    if (!shared->at || place < (int64_t)MU_VECTORS_ALIGN || (size_t)place % align != 0 ||
        (size_t)place > shared->bytes || bytes > shared->bytes - (size_t)place)
        return NULL;
    return (char *)shared->at + place;
}
