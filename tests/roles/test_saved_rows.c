/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/saved_rows.h"
#include "runtime/base/crc32c.h"
#include "test.h"

#define WIDTH 3
#define SLOTS 2
#define STRIDE (WIDTH * (1 + SLOTS))

static int allocations_left = -1; /* before the one that fails; -1: none fails */

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return __real_calloc(count, bytes);
    allocations_left = -1;
    return NULL;
}

/* A table that exists only while it is read: row n has id 10 n + 7. */
struct imagined {
    uint64_t next;
    float row[STRIDE];
};

static const float *next_row(void *owner, uint64_t *ret_id)
{
    struct imagined *table = owner;
    uint64_t n = table->next++;
    *ret_id = 10 * n + 7;
    for (size_t i = 0; i < STRIDE; i++)
        table->row[i] = (float)(100 * n + i);
    return table->row;
}

static enum mu_status fill(struct mu_saved_rows *rows, size_t count)
{
    struct imagined table = {0};
    const struct mu_row_reader reader = {.count = count, .next = next_row, .owner = &table};
    return mu_saved_rows_fill(rows, &reader);
}

static void expect(const struct mu_saved_rows *rows, size_t count)
{
    assert_int_equal(rows->count, count);
    for (size_t n = 0; n < count; n++) {
        assert_int_equal(rows->ids[n], 10 * n + 7);
        for (size_t i = 0; i < STRIDE; i++)
            assert_true(rows->vectors[i / WIDTH][n * WIDTH + i % WIDTH] == (float)(100 * n + i));
    }
}

static void parameters_and_slots_lie_in_vectors_of_their_own(void **state)
{
    struct mu_saved_rows rows = {.width = WIDTH, .slot_count = SLOTS};
    assert_ok(fill(&rows, 5));
    expect(&rows, 5);
    mu_saved_rows_finish(&rows);
}

static void a_table_may_grow_and_shrink_and_be_empty(void **state)
{
    struct mu_saved_rows rows = {.width = WIDTH, .slot_count = SLOTS};
    static const size_t counts[] = {0, 4, 100, 3, 0, 99};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        assert_ok(fill(&rows, counts[i]));
        expect(&rows, counts[i]);
    }
    mu_saved_rows_finish(&rows);
}

static void without_memory_there_are_no_rows_and_the_next_time_there_are(void **state)
{
    for (int failing = 0; failing < 2 + SLOTS; failing++) {
        struct mu_saved_rows rows = {.width = WIDTH, .slot_count = SLOTS};
        assert_ok(fill(&rows, 2));
        allocations_left = failing;
        assert_int_equal(fill(&rows, 50), MU_NO_MEMORY);
        assert_int_equal(rows.count, 0);
        assert_ok(fill(&rows, 50));
        expect(&rows, 50);
        mu_saved_rows_finish(&rows);
    }
}

static void the_checksum_goes_over_ids_and_then_parameters(void **state)
{
    struct mu_saved_rows rows = {.width = WIDTH, .slot_count = SLOTS};
    assert_ok(fill(&rows, 2));
    const uint64_t ids[] = {7, 17};
    const float parameters[] = {0, 1, 2, 100, 101, 102};
    uint32_t crc = mu_crc32c(mu_crc32c(5, ids, sizeof(ids)), parameters, sizeof(parameters));
    assert_int_equal(mu_saved_rows_crc32c(&rows, 5), crc);
    assert_ok(fill(&rows, 0));
    assert_int_equal(mu_saved_rows_crc32c(&rows, 5), 5);
    mu_saved_rows_finish(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_and_slots_lie_in_vectors_of_their_own),
        cmocka_unit_test(a_table_may_grow_and_shrink_and_be_empty),
        cmocka_unit_test(without_memory_there_are_no_rows_and_the_next_time_there_are),
        cmocka_unit_test(the_checksum_goes_over_ids_and_then_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
