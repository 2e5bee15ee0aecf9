/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/split.h"
#include "ps/table/table_blocks.h"
#include "ps/table/table_dense.h"
#include "ps/table/table_room.h"
#include "ps/table/table_save.h"
#include "ps/table/table_sweep.h"
#include "runtime/base/free_memory.h"
#include "runtime/base/random.h"
#include "test.h"

/* Tables that have all their rows from the beginning, beside tables whose rows begin at first
 * touch: what is in a row must not depend on which it is. */
#define IDS 20011 /* no multiple of the bits of a word */
#define WIDTH 5
#define SLOTS 2
#define STRIDE (WIDTH * (1 + SLOTS))
#define BATCH 300

static void init_row(
    const void *owner, uint64_t seed, uint64_t id, size_t width, float *ret_parameters)
{
    (void)owner;
    for (size_t i = 0; i < width; i++)
        ret_parameters[i] = (float)(mu_random_mix(seed ^ id, i) >> 40);
}

static struct mu_table *create_split(uint64_t dense_ids, int order, int server_count, bool by_range)
{
    const struct mu_table_options options = {.width = WIDTH,
        .slot_count = SLOTS,
        .dense_ids = dense_ids,
        .order = order,
        .server_count = server_count,
        .by_range = by_range,
        .seed = 7,
        .init_row = init_row};
    struct mu_table *table = NULL;
    assert_ok(mu_table_create(&options, &table));
    return table;
}

static struct mu_table *create(uint64_t dense_ids, int order, int server_count)
{
    return create_split(dense_ids, order, server_count, false);
}

/* Few at a time, as a server does that serves in between. */
static size_t lay(struct mu_table *table, size_t rows_max)
{
    size_t calls = 0;
    for (bool all = false; !all; calls++)
        assert_ok(mu_table_lay(table, rows_max, &all));
    return calls;
}

static bool is_ours(uint64_t id, int order, int server_count)
{
    return server_count == 0 || mu_split_row(id, server_count) == order;
}

static void expect_equal(struct mu_table *dense, const struct mu_table *touched)
{
    float fresh[STRIDE] = {0};
    for (uint64_t id = 0; id < IDS; id++) {
        const float *there, *other;
        mu_table_look(dense, &id, 1, &there);
        assert_int_equal(there != NULL, mu_table_takes(dense, id));
        if (!there)
            continue;
        mu_table_look(touched, &id, 1, &other);
        mu_table_fresh_row(touched, id, fresh);
        assert_memory_equal(there, other ? other : fresh, sizeof(fresh));
    }
}

static void touch_both(struct mu_table *dense, struct mu_table *touched, struct mu_random *random)
{
    uint64_t ids[BATCH], first = mu_random_below(random, IDS);
    float *rows[BATCH], *others[BATCH];
    uint32_t where[BATCH];
    const float *seen[BATCH];
    size_t count = 0;
    for (uint64_t id = first; id < IDS && count < BATCH; id += 1 + id % 3)
        if (mu_table_takes(dense, id))
            ids[count++] = id;
    mu_table_look_where(dense, ids, count, seen, where);
    assert_ok(mu_table_rows_where(dense, ids, where, count, rows));
    assert_ok(mu_table_rows(touched, ids, count, others));
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < STRIDE; k++) {
            assert_ptr_equal(seen[i], rows[i]);
            rows[i][k] += (float)(i + k);
            others[i][k] += (float)(i + k);
        }
}

static void rows_are_those_that_begin_at_first_touch(void **state)
{
    (void)state;
    const int server_counts[] = {0, 1, 3};
    for (size_t k = 0; k < MU_COUNT_OF(server_counts); k++)
        for (int order = 0; order < (server_counts[k] ? server_counts[k] : 1); order++) {
            struct mu_table *dense = create(IDS, order, server_counts[k]);
            struct mu_table *touched = create(0, 0, 0);
            struct mu_random random;
            mu_random_init(&random, (uint64_t)order);
            lay(dense, 1000);
            uint64_t rows = mu_table_count(dense).rows;
            for (int call = 0; call < 100; call++)
                touch_both(dense, touched, &random);
            assert_int_equal(mu_table_count(dense).rows, rows);
            expect_equal(dense, touched);
            mu_table_destroy(dense);
            mu_table_destroy(touched);
        }
}

static void every_id_has_a_row_on_its_server_alone(void **state)
{
    (void)state;
    uint64_t rows = 0;
    for (int order = 0; order < 3; order++) {
        struct mu_table *dense = create(IDS, order, 3);
        lay(dense, SIZE_MAX);
        for (uint64_t id = 0; id < IDS + 200; id++) {
            const float *row;
            mu_table_look(dense, &id, 1, &row);
            assert_int_equal(row != NULL, id < IDS && is_ours(id, order, 3));
        }
        rows += mu_table_count(dense).rows;
        mu_table_destroy(dense);
    }
    assert_int_equal(rows, IDS);
}

static void rows_are_laid_a_few_at_a_time(void **state)
{
    (void)state;
    struct mu_table *dense = create(IDS, 0, 0), *touched = create(0, 0, 0);
    assert_int_equal(lay(dense, 1000), IDS / 1000 + 1);
    assert_int_equal(lay(touched, 1), 1);
    assert_int_equal(mu_table_count(dense).rows, IDS);
    assert_int_equal(mu_table_count(touched).rows, 0);
    mu_table_destroy(dense);
    mu_table_destroy(touched);
}

/* To find out which are ours takes a hash of every id: not all of them at once. */
static void ids_are_marked_as_their_rows_are_laid(void **state)
{
    (void)state;
    struct mu_table *dense = create(IDS, 1, 3);
    for (bool all = false; !all;) {
        uint64_t laid = mu_table_count(dense).rows, taken = 0;
        for (uint64_t id = 0; id < IDS; id++)
            taken += mu_table_takes(dense, id);
        assert_in_range(taken, laid, laid > 0 ? laid + 64 : 0);
        assert_ok(mu_table_lay(dense, 1000, &all));
    }
    mu_table_destroy(dense);
}

/* Beside the rows and their ids: two bits an id where some are others', and the last block. */
static void it_takes_the_memory_of_its_rows(void **state)
{
    (void)state;
    const uint64_t ids = 700000;
    for (int servers = 1; servers <= 2; servers++) {
        struct mu_table *dense = create(ids, 0, servers);
        lay(dense, SIZE_MAX);
        struct mu_table_counts counts = mu_table_count(dense);
        uint64_t least = mu_table_bytes_of(counts.rows, STRIDE, true);
        uint64_t block = 4 << 20, beside = counts.rows / 50 + (servers > 1 ? ids / 4 + 16 : 0);
        assert_in_range(counts.bytes, least, least + least / 1000 + block + beside);
        mu_table_destroy(dense);
    }
}

static void its_rows_are_saved_and_put_back(void **state)
{
    (void)state;
    struct mu_table *dense = create(IDS, 1, 2), *touched = create(0, 0, 0);
    struct mu_table *again = create(IDS, 1, 2);
    struct mu_random random;
    mu_random_init(&random, 5);
    lay(dense, SIZE_MAX);
    lay(again, SIZE_MAX);
    for (int call = 0; call < 20; call++)
        touch_both(dense, touched, &random);
    struct mu_table_entry *entries = NULL;
    assert_ok(mu_table_sorted(touched, &entries));
    for (size_t i = 0; i < mu_table_count(touched).rows; i++)
        assert_ok(mu_table_put(again, entries[i].id, entries[i].row));
    uint32_t one = 0, other = 0;
    assert_ok(mu_table_crc32c(dense, &one));
    assert_ok(mu_table_crc32c(again, &other));
    assert_int_equal(one, other);
    free(entries);
    mu_table_destroy(dense);
    mu_table_destroy(again);
    mu_table_destroy(touched);
}

/* In the order of their ids, as they were when it began. */
static void a_sweep_reads_every_row_as_it_was(void **state)
{
    (void)state;
    struct mu_table *dense = create(IDS, 0, 0), *touched = create(0, 0, 0);
    struct mu_table_sweep sweep;
    struct mu_random random;
    float fresh[STRIDE] = {0};
    static bool seen[IDS];
    uint64_t id;
    mu_random_init(&random, 9);
    lay(dense, SIZE_MAX);
    assert_ok(mu_table_follow(dense, &sweep, BATCH + 1));
    assert_ok(mu_table_sweep_begin(&sweep));
    for (size_t i = 0; i < IDS; i++) {
        if (mu_table_sweep_room(&sweep) >= BATCH)
            touch_both(dense, touched, &random);
        const float *row = mu_table_sweep_next(&sweep, &id);
        assert_non_null(row);
        assert_true(id < IDS && !seen[id]);
        seen[id] = true;
        mu_table_fresh_row(dense, id, fresh);
        assert_memory_equal(row, fresh, sizeof(fresh));
    }
    assert_null(mu_table_sweep_next(&sweep, &id));
    mu_table_destroy(dense);
    mu_table_destroy(touched);
    mu_table_sweep_finish(&sweep);
}

static void more_rows_than_have_numbers_are_no_table(void **state)
{
    (void)state;
    const struct mu_table_options options = {
        .width = 1, .dense_ids = (uint64_t)MU_TABLE_ROWS_MAX + 1};
    struct mu_table *table = NULL;
    assert_int_equal(mu_table_create(&options, &table), MU_NO_MEMORY);
    assert_null(table);
}

static void what_is_free_is_less_than_all_and_more_than_nothing(void **state)
{
    (void)state;
    assert_in_range(mu_free_memory_bytes(), 1 << 20, UINT64_C(1) << 50);
}

#define FLOATS 1024 /* so many that memory ends before the numbers of rows do */

static void expect_room(struct mu_table_room room, bool fits)
{
    struct mu_test_log log;
    enum mu_status status =
        mu_table_room_check(&room, mu_test_log_init(&log), "ps/%d: %zu floats", 3, room.stride);
    assert_int_equal(status, fits ? MU_OK : MU_NO_MEMORY);
    if (fits)
        assert_string_equal(log.text, "");
    else
        assert_said(&log, "ps/3: 1024 floats take ");
}

/* Half of what is free is room for one table and not for three: it changes all the time. */
static void rows_are_counted_against_what_is_free(void **state)
{
    (void)state;
    uint64_t row_bytes = mu_table_bytes_of(1, FLOATS, true), free_bytes = mu_free_memory_bytes();
    struct mu_table_room room = {
        .rows = free_bytes / 2 / row_bytes, .stride = FLOATS, .dense = true, .tables = 1};
    assert_true(room.rows < MU_TABLE_ROWS_MAX);
    expect_room(room, true);
    room.tables = 3;
    expect_room(room, false);
    room.tables = 1;
    room.bytes_besides = free_bytes;
    expect_room(room, false);
    expect_room((struct mu_table_room){.rows = IDS, .stride = FLOATS, .tables = 1}, true);
    expect_room((struct mu_table_room){.rows = UINT64_MAX, .stride = FLOATS, .tables = 1}, false);
}

static void a_range_of_ids_is_found_without_a_bit_for_each(void **state)
{
    (void)state;
    const struct mu_row_split split = {.server_count = 3, .range_ids = IDS};
    uint64_t rows = 0;
    for (int order = 0; order < 3; order++) {
        struct mu_table *dense = create_split(IDS, order, 3, true);
        struct mu_table *hashed = create(IDS, order, 3), *touched = create(0, 0, 0);
        struct mu_random random;
        mu_random_init(&random, (uint64_t)order);
        lay(dense, 1000);
        lay(hashed, SIZE_MAX);
        for (uint64_t id = 0; id < IDS + 200; id++)
            assert_int_equal(
                mu_table_takes(dense, id), id < IDS && mu_row_split_server(&split, id) == order);
        for (int call = 0; call < 100; call++)
            touch_both(dense, touched, &random);
        expect_equal(dense, touched);
        rows += mu_table_count(dense).rows;
        assert_true(mu_table_count(dense).bytes < mu_table_count(hashed).bytes);
        mu_table_destroy(dense);
        mu_table_destroy(hashed);
        mu_table_destroy(touched);
    }
    assert_int_equal(rows, IDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_that_begin_at_first_touch),
        cmocka_unit_test(a_range_of_ids_is_found_without_a_bit_for_each),
        cmocka_unit_test(every_id_has_a_row_on_its_server_alone),
        cmocka_unit_test(rows_are_laid_a_few_at_a_time),
        cmocka_unit_test(ids_are_marked_as_their_rows_are_laid),
        cmocka_unit_test(it_takes_the_memory_of_its_rows),
        cmocka_unit_test(its_rows_are_saved_and_put_back),
        cmocka_unit_test(a_sweep_reads_every_row_as_it_was),
        cmocka_unit_test(more_rows_than_have_numbers_are_no_table),
        cmocka_unit_test(rows_are_counted_against_what_is_free),
        cmocka_unit_test(what_is_free_is_less_than_all_and_more_than_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
