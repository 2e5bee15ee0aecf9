/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/store.h"
#include "test.h"

static struct mu_test_log said;
static struct mu_store *store;

static int setup(void **state)
{
    (void)state;
    mu_test_log_init(&said);
    return mu_store_memory_open(&store) != MU_OK;
}

static int teardown(void **state)
{
    (void)state;
    store->ops->close(store);
    return 0;
}

static void put(int64_t number, const char *name, const char *text)
{
    struct mu_store_piece piece = {text, strlen(text)};
    struct mu_store_file file = {.pieces = &piece, .piece_count = 1};
    mu_format(file.name, sizeof(file.name), "%s", name);
    assert_ok(store->ops->put(store, &said.log, number, &file, 1));
}

static void expect(int64_t number, const char *name, const char *text)
{
    void *data;
    size_t bytes;
    assert_ok(store->ops->get(store, &said.log, number, name, 100, &data, &bytes));
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(data, text, bytes);
    free(data);
}

static void expect_absent(int64_t number, const char *name)
{
    void *data = &said;
    size_t bytes = 7;
    assert_int_equal(
        store->ops->get(store, &said.log, number, name, 100, &data, &bytes), MU_NO_INPUT);
    assert_ptr_equal(data, &said);
    assert_int_equal(bytes, 7);
    assert_string_equal(said.text, "");
}

static void pieces_are_read_back_joined(void **state)
{
    (void)state;
    struct mu_store_piece pieces[] = {{"abc", 3}, {NULL, 0}, {"de", 2}};
    struct mu_store_piece other[] = {{"xyz", 3}};
    struct mu_store_file files[] = {{.name = "model", .pieces = pieces, .piece_count = 3},
        {.name = "manifest", .pieces = other, .piece_count = 1}, {.name = "none"}};
    assert_ok(store->ops->put(store, &said.log, 7, files, 3));
    expect(7, "model", "abcde");
    expect(7, "manifest", "xyz");
    expect(7, "none", "");
}

static void entries_are_listed_in_ascending_order(void **state)
{
    (void)state;
    int64_t numbers[8] = {0};
    assert_int_equal(store->ops->list(store, numbers, 8), 0);
    put(30, "a", "30");
    put(10, "a", "10");
    put(20, "a", "20");
    assert_int_equal(store->ops->list(store, numbers, 8), 3);
    assert_int_equal(numbers[0], 10);
    assert_int_equal(numbers[1], 20);
    assert_int_equal(numbers[2], 30);
    assert_int_equal(numbers[3], 0);
}

static void newest_are_listed_where_not_all_fit(void **state)
{
    (void)state;
    int64_t numbers[3] = {0, 0, -1};
    for (int i = 1; i <= 5; i++)
        put(i, "a", "");
    assert_int_equal(store->ops->list(store, numbers, 2), 5);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(numbers[1], 5);
    assert_int_equal(numbers[2], -1);
    assert_int_equal(store->ops->list(store, numbers, 0), 5);
}

static void put_replaces_the_whole_entry(void **state)
{
    (void)state;
    put(1, "old", "before");
    put(1, "new", "after");
    int64_t number;
    assert_int_equal(store->ops->list(store, &number, 1), 1);
    expect(1, "new", "after");
    expect_absent(1, "old");
}

static void caller_may_change_its_memory_afterwards(void **state)
{
    (void)state;
    char text[] = "before";
    put(1, "a", text);
    text[0] = 'X';
    expect(1, "a", "before");
}

static void absent_entry_is_said_by_status_alone(void **state)
{
    (void)state;
    put(2, "a", "x");
    expect_absent(1, "a");
    expect_absent(3, "a");
    expect_absent(2, "b");
}

static void file_over_the_limit_is_bad_data(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    put(1, "a", "12345");
    assert_int_equal(store->ops->get(store, &said.log, 1, "a", 4, &data, &bytes), MU_BAD_DATA);
    assert_said(&said, "error[E0601]: a of checkpoint 1 has more than 4 bytes");
    assert_ok(store->ops->get(store, &said.log, 1, "a", 5, &data, &bytes));
    free(data);
}

static void dropped_entry_is_gone_and_others_stay(void **state)
{
    (void)state;
    put(1, "a", "one");
    put(2, "a", "two");
    put(3, "a", "three");
    assert_ok(store->ops->drop(store, &said.log, 2));
    assert_ok(store->ops->drop(store, &said.log, 2));
    assert_ok(store->ops->drop(store, &said.log, 99));
    expect_absent(2, "a");
    expect(1, "a", "one");
    expect(3, "a", "three");
}

static void entry_is_described_by_its_number(void **state)
{
    (void)state;
    char text[32];
    store->ops->describe(store, 12, text, sizeof(text));
    assert_string_equal(text, "memory:12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_are_read_back_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_are_listed_in_ascending_order, setup, teardown),
        cmocka_unit_test_setup_teardown(newest_are_listed_where_not_all_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(put_replaces_the_whole_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(caller_may_change_its_memory_afterwards, setup, teardown),
        cmocka_unit_test_setup_teardown(absent_entry_is_said_by_status_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(file_over_the_limit_is_bad_data, setup, teardown),
        cmocka_unit_test_setup_teardown(dropped_entry_is_gone_and_others_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(entry_is_described_by_its_number, setup, teardown),
    };
    return cmocka_run_group_tests_name("store_memory", tests, NULL, NULL);
}
