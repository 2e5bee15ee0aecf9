/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/vectors.h"
#include "runtime/io/real_world.h"
#include "test.h"
#include "turns.h"
#include <sys/mman.h>

/* The vectors of a worker, which its communication thread makes. */
#define COUNT 3
#define ELEMENTS ((size_t)3 << 20)
#define BYTES (COUNT * ELEMENTS * sizeof(float))
#define PIECE_BYTES_MAX ((size_t)16 << 20)
#define PAGE_BYTES ((size_t)4096)

/* What of the pages from `at` is there: those of a reservation that nobody touched are not. */
static size_t resident_bytes(void *at, size_t bytes)
{
    static unsigned char resident[2 * BYTES / PAGE_BYTES];
    size_t pages = bytes / PAGE_BYTES, count = 0;
    assert_true(pages <= sizeof(resident));
    assert_int_equal(mincore(at, pages * PAGE_BYTES, resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += resident[i] & 1;
    return count * PAGE_BYTES;
}

static size_t there(void *owner)
{
    const struct mu_vectors *vectors = owner;
    return vectors->own.data ? resident_bytes(vectors->own.data, vectors->own.mapped_bytes)
                             : resident_bytes(vectors->shared.at, vectors->shared.bytes);
}

static void the_loop_turns_while_vectors_are_made(void **state)
{
    (void)state;
    struct mu_real_world real;
    struct mu_loop *loop;
    char why[MU_SHARED_MEMORY_WHY_MAX];
    assert_ok(mu_real_world_init(&real));
    assert_ok(real.world.ops->loop_create(&real.world, &loop));
    for (int shared = 0; shared < 2; shared++) {
        struct mu_vectors vectors = {0};
        turns_begin(loop, there, &vectors);
        enum mu_status status =
            shared ? mu_vectors_init_shared(&vectors, COUNT, ELEMENTS, 0, loop, why)
                   : mu_vectors_init(&vectors, COUNT, ELEMENTS, 0, loop);
        turns_end(loop);
        assert_ok(status);
        assert_in_range(turns.count, BYTES / PIECE_BYTES_MAX, SIZE_MAX);
        assert_in_range(turns.piece_max, 1, PIECE_BYTES_MAX);
        assert_in_range(turns.before, BYTES, SIZE_MAX); /* nothing is missing at the end */
        mu_vectors_finish(&vectors);
    }
    loop->ops->destroy(loop);
    mu_real_world_finish(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_turns_while_vectors_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
