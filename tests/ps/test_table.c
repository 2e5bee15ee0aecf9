/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/table/table.h"
#include "ps/table/table_save.h"
#include "runtime/base/random.h"
#include "test.h"
#include <sys/mman.h>

/* ---- memory that ends: the build wraps the calls that ask for it ---- */

static long allocations_left = -1; /* -1: without end */

static bool may_allocate(void)
{
    if (allocations_left == 0)
        return false;
    allocations_left -= allocations_left > 0;
    return true;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_mmap64(void *at, size_t bytes, int may, int flags, int file, off_t first);
void *__wrap_mmap64(void *at, size_t bytes, int may, int flags, int file, off_t first);

void *__wrap_malloc(size_t bytes)
{
    return may_allocate() ? __real_malloc(bytes) : NULL;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return may_allocate() ? __real_calloc(count, bytes) : NULL;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return may_allocate() ? __real_realloc(memory, bytes) : NULL;
}

void *__wrap_mmap64(void *at, size_t bytes, int may, int flags, int file, off_t first)
{
    return may_allocate() ? __real_mmap64(at, bytes, may, flags, file, first) : MAP_FAILED;
}

/* ---- tables and their reference ---- */

#define BATCH_MAX 3000

static const int the_owner;

static float begins_as(uint64_t seed, uint64_t id, size_t i)
{
    return (float)(mu_random_mix(seed ^ id, i) >> 40);
}

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    assert_ptr_equal(owner, &the_owner);
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = begins_as(seed, id, i);
}

static struct mu_table *create(size_t width, int slot_count, size_t row_limit)
{
    struct mu_table_options options = {.width = width,
        .slot_count = slot_count,
        .row_limit = row_limit,
        .seed = 7,
        .init_row = init_row,
        .owner = &the_owner};
    struct mu_table *table = NULL;
    assert_ok(mu_table_create(&options, &table));
    return table;
}

static bool is_fresh(const float *row, uint64_t id, size_t width, size_t stride)
{
    for (size_t i = 0; i < stride; i++)
        if (row[i] != (i < width ? begins_as(7, id, i) : 0))
            return false;
    return true;
}

/* What the table should hold: ids in order, and what was added to each row's elements. */
struct reference {
    size_t count;
    uint64_t id[60000];
    float added[60000];
};

static size_t reference_place(const struct reference *reference, uint64_t id)
{
    size_t low = 0, high = reference->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reference->id[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool reference_has(const struct reference *reference, uint64_t id)
{
    size_t place = reference_place(reference, id);
    return place < reference->count && reference->id[place] == id;
}

static void reference_insert(struct reference *reference, uint64_t id)
{
    size_t place = reference_place(reference, id), behind = reference->count - place;
    assert_true(reference->count < MU_COUNT_OF(reference->id));
    memmove(&reference->id[place + 1], &reference->id[place], behind * sizeof(uint64_t));
    memmove(&reference->added[place + 1], &reference->added[place], behind * sizeof(float));
    reference->id[place] = id;
    reference->added[place] = 0;
    reference->count++;
}

/* Up to BATCH_MAX different ids of a kind that the seed draws. */
static size_t draw_ids(struct mu_random *random, int kind, uint64_t *ret_ids)
{
    size_t count = 1 + mu_random_below(random, mu_random_below(random, 2) ? 10 : BATCH_MAX);
    uint64_t first = mu_random_below(random, 20000);
    for (size_t i = 0; i < count; i++) {
        const uint64_t by_kind[] = {first + i, (first + i) << 40, UINT64_MAX - first - i,
            mu_random_mix(3, first + i), (first + i) * 4096};
        ret_ids[i] = by_kind[kind];
    }
    return count;
}

#define KINDS 5

static void check_all(const struct mu_table *table, const struct reference *reference, size_t width)
{
    size_t stride = mu_table_stride(table);
    struct mu_table_entry *entries = NULL;
    assert_ok(mu_table_sorted(table, &entries));
    assert_int_equal(mu_table_count(table).rows, reference->count);
    for (size_t i = 0; i < reference->count; i++) {
        uint64_t id = reference->id[i];
        const float *seen;
        mu_table_look(table, &id, 1, &seen);
        assert_ptr_equal(seen, entries[i].row);
        assert_true(entries[i].id == id);
        assert_true(seen[0] == begins_as(7, id, 0) + reference->added[i]);
        assert_true(seen[stride - 1] ==
                    (stride > width ? 0 : begins_as(7, id, width - 1)) + reference->added[i]);
    }
    free(entries);
}

static void add(struct reference *reference, uint64_t id, float *row, size_t stride)
{
    row[0] += 1;
    if (stride > 1)
        row[stride - 1] += 1;
    reference->added[reference_place(reference, id)] += 1;
}

/* What a caller may know of where rows are: all of it, nothing right, some of it, nothing. */
static const uint32_t *spoil(struct mu_random *random, uint32_t *where, size_t count)
{
    uint64_t kind = mu_random_below(random, 4);
    for (size_t i = 0; i < count; i++)
        if (kind == 1 || (kind == 2 && mu_random_below(random, 3) == 0))
            where[i] = (uint32_t)mu_random_next(random) >> mu_random_below(random, 32);
    return kind == 3 ? NULL : where;
}

static void random_calls(uint64_t seed)
{
    static uint32_t where[BATCH_MAX];
    static struct reference reference;
    static uint64_t ids[BATCH_MAX];
    static float *row[BATCH_MAX];
    static const float *seen[BATCH_MAX];
    struct mu_random random;
    mu_random_init(&random, seed);
    reference.count = 0;
    size_t width = 1 + mu_random_below(&random, 20);
    int kind = (int)(seed % KINDS);
    struct mu_table *table = create(width, (int)mu_random_below(&random, 3), 0);
    size_t stride = mu_table_stride(table);
    for (int call = 0; call < 60; call++) {
        size_t count = draw_ids(&random, kind, ids);
        mu_table_look_where(table, ids, count, seen, where);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(seen[i] != NULL, reference_has(&reference, ids[i]));
        const uint32_t *known = spoil(&random, where, count);
        assert_ok(mu_table_rows_where(table, ids, known, count, row));
        for (size_t i = 0; i < count; i++) {
            if (seen[i])
                assert_ptr_equal(seen[i], row[i]);
            else
                assert_true(is_fresh(row[i], ids[i], width, stride));
            if (!seen[i])
                reference_insert(&reference, ids[i]);
            add(&reference, ids[i], row[i], stride);
        }
    }
    check_all(table, &reference, width);
    assert_int_equal(mu_table_count(table).created, reference.count);
    mu_table_destroy(table);
}

static void a_table_is_what_a_sorted_array_would_be(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        random_calls(seed);
}

/* ---- many rows ---- */

#define MANY 700000

/* A thousand ids a call; a row's last element says which it is. */
static enum mu_status touch(struct mu_table *table, uint64_t first, size_t count)
{
    static uint64_t ids[1000];
    static float *row[1000];
    for (size_t at = 0; at < count; at += 1000) {
        size_t here = count - at < 1000 ? count - at : 1000;
        for (size_t i = 0; i < here; i++)
            ids[i] = mu_random_mix(5, first + at + i);
        MU_TRY(mu_table_rows(table, ids, here, row));
        for (size_t i = 0; i < here; i++)
            row[i][mu_table_stride(table) - 1] = (float)(first + at + i);
    }
    return MU_OK;
}

static void expect(const struct mu_table *table, uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t id = mu_random_mix(5, first + i);
        const float *row;
        mu_table_look(table, &id, 1, &row);
        assert_non_null(row);
        assert_true(row[mu_table_stride(table) - 1] == (float)(first + i));
    }
}

static void many_rows_are_found_in_little_memory(void **state)
{
    (void)state;
    const size_t widths[] = {1, 17};
    for (size_t k = 0; k < MU_COUNT_OF(widths); k++) {
        struct mu_table *table = create(widths[k], 1, 0);
        for (size_t rows = 0; rows < MANY; rows += 50000) {
            assert_ok(touch(table, rows, 50000));
            double bytes = (double)mu_table_count(table).bytes;
            double needed = (double)(rows + 50000) * (double)(4 * mu_table_stride(table) + 16);
            double block = 4 << 20; /* the last one is not full */
            assert_true(rows < 200000 || bytes - block < 1.15 * needed);
        }
        expect(table, 0, MANY);
        mu_table_destroy(table);
    }
}

static void wide_rows_are_kept(void **state)
{
    (void)state;
    struct mu_table *table = create(50000, 1, 0);
    assert_ok(touch(table, 0, 100));
    expect(table, 0, 100);
    mu_table_destroy(table);
}

static void the_order_of_creation_changes_no_value(void **state)
{
    (void)state;
    static uint64_t ids[5000];
    static float *row[5000], fresh[9];
    struct mu_table *forth = create(9, 1, 0), *back = create(9, 1, 0);
    for (size_t i = 0; i < 5000; i++)
        ids[i] = i * 977;
    assert_ok(mu_table_rows(forth, ids, 5000, row));
    for (size_t i = 5000; i-- > 0;)
        assert_ok(mu_table_rows(back, &ids[i], 1, row));
    struct mu_table_entry *a = NULL, *b = NULL;
    assert_ok(mu_table_sorted(forth, &a));
    assert_ok(mu_table_sorted(back, &b));
    for (size_t i = 0; i < 5000; i++) {
        assert_true(a[i].id == ids[i]);
        assert_true(b[i].id == ids[i]);
        assert_memory_equal(a[i].row, b[i].row, 18 * sizeof(float));
        mu_table_fresh_row(forth, ids[i], fresh);
        assert_memory_equal(a[i].row, fresh, sizeof(fresh));
    }
    free(a);
    free(b);
    mu_table_destroy(forth);
    mu_table_destroy(back);
}

static void next_gives_the_rows_as_they_were_created(void **state)
{
    (void)state;
    struct mu_table *table = create(3, 0, 0);
    assert_ok(touch(table, 0, 4000));
    size_t place = 0;
    uint64_t id;
    for (uint64_t i = 0; i < 4000; i++) {
        assert_non_null(mu_table_next(table, &place, &id));
        assert_true(id == mu_random_mix(5, i));
    }
    assert_null(mu_table_next(table, &place, &id));
    mu_table_destroy(table);
}

static void what_was_saved_can_be_put_back(void **state)
{
    (void)state;
    struct mu_table *table = create(3, 2, 0), *loaded = create(3, 2, 0);
    struct mu_table_entry *entries = NULL, *again = NULL;
    assert_ok(mu_table_sorted(table, &entries));
    assert_null(entries);
    assert_ok(touch(table, 0, 4000));
    assert_ok(mu_table_sorted(table, &entries));
    for (size_t i = 4000; i-- > 0;)
        assert_ok(mu_table_put(loaded, entries[i].id, entries[i].row));
    assert_ok(mu_table_sorted(loaded, &again));
    for (size_t i = 0; i < 4000; i++) {
        assert_true(i == 0 || entries[i - 1].id < entries[i].id);
        assert_true(entries[i].id == again[i].id);
        assert_memory_equal(entries[i].row, again[i].row, 9 * sizeof(float));
    }
    free(entries);
    free(again);
    mu_table_destroy(table);
    mu_table_destroy(loaded);
}

/* ---- limited tables ---- */

static void a_limited_table_keeps_what_was_asked_for(void **state)
{
    (void)state;
    struct mu_table *table = create(4, 1, 1000);
    struct mu_random random;
    mu_random_init(&random, 1);
    uint64_t end = 0;
    for (int call = 0; call < 2000; call++) {
        size_t count = 1 + mu_random_below(&random, call % 7 == 0 ? 1000 : 20);
        uint64_t first = mu_random_below(&random, 3000);
        assert_ok(touch(table, first, count));
        expect(table, first, count);
        end = first + count > end ? first + count : end;
        struct mu_table_counts counts = mu_table_count(table);
        assert_true(counts.rows <= 1000);
        assert_int_equal(counts.rows + counts.evicted, counts.created);
    }
    size_t place = 0, rows = 0;
    for (uint64_t id; mu_table_next(table, &place, &id); rows++)
        ;
    assert_int_equal(rows, mu_table_count(table).rows);
    mu_table_destroy(table);
}

static void rows_that_leave_make_room_for_others(void **state)
{
    (void)state;
    struct mu_table *table = create(4, 1, 1000);
    assert_ok(touch(table, 0, 100000));
    uint64_t bytes = mu_table_count(table).bytes;
    assert_ok(touch(table, 100000, 200000));
    assert_int_equal(mu_table_count(table).bytes, bytes);
    assert_int_equal(mu_table_count(table).evicted, 299000);
    mu_table_destroy(table);
}

/* What a free record keeps may look like an id, as here. */
static void where_a_row_was_says_nothing_once_rows_leave(void **state)
{
    (void)state;
    static const uint64_t before[] = {0, 1, 2, 3}, others[] = {11, 12, 13, 14};
    float *row[4];
    for (uint32_t number = 0; number < 8; number++) {
        const uint32_t where[] = {number, number, number, number};
        struct mu_table *table = create(2, 1, 4);
        assert_ok(mu_table_rows(table, before, 4, row));
        assert_ok(mu_table_rows(table, others, 4, row));
        assert_ok(mu_table_rows_where(table, before, where, 4, row));
        assert_int_equal(mu_table_count(table).created, 12);
        mu_table_destroy(table);
    }
}

static void rows_in_use_outlive_rows_seen_once(void **state)
{
    (void)state;
    struct mu_table *table = create(1, 1, 1000);
    for (uint64_t call = 0; call < 3000; call++) {
        assert_ok(touch(table, 0, 300));
        assert_ok(touch(table, 1000 + call * 50, 50));
    }
    /* The 300 were created once. */
    assert_int_equal(mu_table_count(table).created, 300 + 3000 * 50);
    mu_table_destroy(table);
}

static void a_row_that_comes_back_begins_anew(void **state)
{
    (void)state;
    struct mu_table *table = create(2, 1, 10);
    uint64_t id = mu_random_mix(5, 0);
    float *row;
    assert_ok(touch(table, 0, 10));
    assert_ok(touch(table, 10, 10));
    assert_ok(mu_table_rows(table, &id, 1, &row));
    assert_true(is_fresh(row, id, 2, 4));
    mu_table_destroy(table);
}

/* ---- no memory ---- */

static void nothing_is_created_without_memory(void **state)
{
    (void)state;
    static uint64_t ids[140000];
    static float *row[140000];
    for (size_t i = 0; i < MU_COUNT_OF(ids); i++)
        ids[i] = mu_random_mix(5, 200 + i);
    for (int limited = 0; limited < 2; limited++) {
        enum mu_status status = MU_NO_MEMORY;
        int tries = 0;
        for (; status == MU_NO_MEMORY; tries++) {
            struct mu_table *table = create(1, 1, limited ? MU_COUNT_OF(ids) : 0);
            assert_ok(touch(table, 0, 300));
            allocations_left = tries;
            status = mu_table_rows(table, ids, MU_COUNT_OF(ids), row);
            allocations_left = -1;
            size_t rows = status == MU_OK ? MU_COUNT_OF(ids) + (limited ? 0 : 200) : 300;
            assert_int_equal(mu_table_count(table).rows, rows);
            if (status != MU_OK)
                expect(table, 0, 300);
            assert_ok(mu_table_rows(table, ids, MU_COUNT_OF(ids), row));
            mu_table_destroy(table);
        }
        assert_in_range(tries, 10, 1000);
    }
}

static void a_table_without_memory_is_not_created(void **state)
{
    (void)state;
    struct mu_table_options options = {.width = 1};
    enum mu_status status = MU_NO_MEMORY;
    int tries = 0;
    for (; status == MU_NO_MEMORY; tries++) {
        struct mu_table *table = NULL;
        allocations_left = tries;
        status = mu_table_create(&options, &table);
        allocations_left = -1;
        assert_int_equal(table != NULL, status == MU_OK);
        mu_table_destroy(table);
    }
    assert_in_range(tries, 3, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_what_a_sorted_array_would_be),
        cmocka_unit_test(many_rows_are_found_in_little_memory),
        cmocka_unit_test(wide_rows_are_kept),
        cmocka_unit_test(the_order_of_creation_changes_no_value),
        cmocka_unit_test(next_gives_the_rows_as_they_were_created),
        cmocka_unit_test(what_was_saved_can_be_put_back),
        cmocka_unit_test(a_limited_table_keeps_what_was_asked_for),
        cmocka_unit_test(rows_that_leave_make_room_for_others),
        cmocka_unit_test(where_a_row_was_says_nothing_once_rows_leave),
        cmocka_unit_test(rows_in_use_outlive_rows_seen_once),
        cmocka_unit_test(a_row_that_comes_back_begins_anew),
        cmocka_unit_test(nothing_is_created_without_memory),
        cmocka_unit_test(a_table_without_memory_is_not_created),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
