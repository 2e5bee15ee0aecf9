/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/tensor/arena.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE_BYTES ((size_t)4096)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* Huge pages need an aligned start: more is mapped than needed, and the ends are given back. */
static void *map_aligned(size_t bytes)
{
    size_t align = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
    size_t slack = align - PAGE_BYTES;
    char *base =
        mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = round_up((uintptr_t)base, align) - (uintptr_t)base;
    if (before > 0)
        munmap(base, before);
    if (slack - before > 0)
        munmap(base + before + bytes, slack - before);
    return base + before;
}

enum mu_status mu_arena_reserve(struct mu_arena *arena, size_t count)
{
    *arena = (struct mu_arena){0};
    if (count > SIZE_MAX / 2 / sizeof(float))
        return MU_NO_MEMORY;
    size_t bytes = round_up(count ? count * sizeof(float) : 1, PAGE_BYTES);
    char *data = map_aligned(bytes);
    if (!data)
        return MU_NO_MEMORY;
    if (bytes >= HUGE_PAGE_BYTES)
        (void)madvise(data, bytes, MADV_HUGEPAGE); /* a wish: without it pages are small */
    *arena =
        (struct mu_arena){.data = (float *)(void *)data, .count = count, .mapped_bytes = bytes};
    return MU_OK;
}

void mu_arena_touch_part(struct mu_arena *arena, size_t first_byte, size_t bytes)
{
    char *data = (char *)arena->data;
    size_t end = first_byte + bytes;
    assert(end <= arena->mapped_bytes);
    for (size_t at = first_byte / PAGE_BYTES * PAGE_BYTES; at < end; at += PAGE_BYTES)
        __atomic_fetch_or(data + at, 0, __ATOMIC_RELAXED); /* a write, and nothing changes */
}

bool mu_arena_touch(struct mu_arena *arena, size_t bytes_max)
{
    size_t left = arena->mapped_bytes - arena->touched_bytes;
    size_t bytes = left < bytes_max ? left : bytes_max;
    mu_arena_touch_part(arena, arena->touched_bytes, bytes);
    arena->touched_bytes += bytes;
    return arena->touched_bytes == arena->mapped_bytes;
}

enum mu_status mu_arena_init(struct mu_arena *arena, size_t count)
{
    MU_TRY(mu_arena_reserve(arena, count));
    (void)mu_arena_touch(arena, SIZE_MAX);
    return MU_OK;
}

void mu_arena_finish(struct mu_arena *arena)
{
    if (arena->data)
        munmap(arena->data, arena->mapped_bytes);
    *arena = (struct mu_arena){0};
}
