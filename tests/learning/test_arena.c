/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "runtime/tensor/arena.h"
#include <sys/mman.h>
#include <unistd.h>

static void arenas_of_all_sizes_are_zeroed_aligned_and_writable(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 1024, 1025, (1 << 19) - 1, 1 << 19, (1 << 20) + 12345};
    for (size_t i = 0; i < MU_COUNT_OF(counts); i++) {
        struct mu_arena arena;
        assert_ok(mu_arena_init(&arena, counts[i]));
        assert_int_equal(arena.count, counts[i]);
        assert_int_equal((uintptr_t)arena.data % 4096, 0);
        for (size_t at = 0; at < arena.count; at++) {
            assert_true(arena.data[at] == 0);
            arena.data[at] = 1;
        }
        mu_arena_finish(&arena);
        assert_null(arena.data);
    }
}

static size_t resident_pages(const struct mu_arena *arena)
{
    static unsigned char resident[4096];
    size_t pages = arena->mapped_bytes / (size_t)sysconf(_SC_PAGESIZE), count = 0;
    assert_true(pages <= sizeof(resident));
    assert_int_equal(mincore(arena->data, arena->mapped_bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += resident[i] & 1;
    return count;
}

static void every_page_is_there_before_the_first_use(void **state)
{
    (void)state;
    struct mu_arena arena;
    assert_ok(mu_arena_init(&arena, (3 << 20) / sizeof(float)));
    assert_int_equal(resident_pages(&arena), arena.mapped_bytes / (size_t)sysconf(_SC_PAGESIZE));
    mu_arena_finish(&arena);
}

/* On huge pages too: the pieces begin where these do. */
static void what_is_reserved_is_touched_piece_by_piece(void **state)
{
    (void)state;
    struct mu_arena arena;
    size_t piece = 4 << 20, page = (size_t)sysconf(_SC_PAGESIZE);
    assert_ok(mu_arena_reserve(&arena, (9 << 20) / sizeof(float)));
    assert_int_equal(arena.count, (9 << 20) / sizeof(float));
    assert_int_equal(resident_pages(&arena), 0);
    for (size_t i = 1; i <= 2; i++) {
        assert_false(mu_arena_touch(&arena, piece));
        assert_int_equal(resident_pages(&arena), i * piece / page);
    }
    arena.data[arena.count - 1] = 7; /* it stays */
    assert_true(mu_arena_touch(&arena, piece));
    assert_true(mu_arena_touch(&arena, piece));
    assert_int_equal(resident_pages(&arena), arena.mapped_bytes / page);
    for (size_t i = 0; i < arena.count; i++)
        assert_true(arena.data[i] == (i == arena.count - 1 ? 7 : 0));
    mu_arena_finish(&arena);
    assert_true(mu_arena_touch(&arena, piece));
}

static void more_than_there_can_be_is_no_memory(void **state)
{
    (void)state;
    struct mu_arena arena;
    assert_int_equal(mu_arena_init(&arena, SIZE_MAX / 4), MU_NO_MEMORY);
    assert_int_equal(mu_arena_init(&arena, (size_t)1 << 55), MU_NO_MEMORY);
    assert_null(arena.data);
    mu_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arenas_of_all_sizes_are_zeroed_aligned_and_writable),
        cmocka_unit_test(every_page_is_there_before_the_first_use),
        cmocka_unit_test(what_is_reserved_is_touched_piece_by_piece),
        cmocka_unit_test(more_than_there_can_be_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
