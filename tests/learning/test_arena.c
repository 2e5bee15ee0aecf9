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

static void every_page_is_there_before_the_first_use(void **state)
{
    (void)state;
    struct mu_arena arena;
    assert_ok(mu_arena_init(&arena, (3 << 20) / sizeof(float)));
    unsigned char resident[1024];
    size_t pages = arena.mapped_bytes / (size_t)sysconf(_SC_PAGESIZE);
    assert_true(pages <= sizeof(resident));
    assert_int_equal(mincore(arena.data, arena.mapped_bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        assert_true(resident[i] & 1);
    mu_arena_finish(&arena);
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
        cmocka_unit_test(more_than_there_can_be_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
