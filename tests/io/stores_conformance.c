/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/store_directory.h"
#include "test.h"
#include <ftw.h>
#include <unistd.h>

/* One table of cases over every store. */
static struct mu_store *store;
static struct mu_test_log test_log;
static char folder[64];

static int begin_memory(void **state)
{
    (void)state;
    mu_test_log_init(&test_log);
    return mu_store_memory_open(&store) == MU_OK ? 0 : -1;
}

static int begin_directory(void **state)
{
    (void)state;
    char path[80];
    strcpy(folder, "/tmp/muster-store-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/checkpoints", folder);
    return mu_store_directory_open(mu_test_log_init(&test_log), path, &store) == MU_OK ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    store->ops->close(store);
    if (folder[0])
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
    return 0;
}

static void put(int64_t number, const char *text)
{
    const struct mu_store_piece pieces[] = {{text, strlen(text)}, {"!", 1}};
    const struct mu_store_file files[] = {{.name = "a.txt", .pieces = pieces, .piece_count = 2},
        {.name = "empty", .pieces = NULL, .piece_count = 0}};
    assert_ok(store->ops->put(store, &test_log.log, number, files, 2));
}

static void assert_holds(int64_t number, const char *name, const char *expected)
{
    void *data;
    size_t bytes;
    assert_ok(store->ops->get(store, &test_log.log, number, name, 1000, &data, &bytes));
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(data, expected, bytes);
    free(data);
}

static void what_is_put_is_there(void **state)
{
    (void)state;
    put(7, "seven");
    assert_holds(7, "a.txt", "seven!");
    assert_holds(7, "empty", "");
}

static void a_new_store_is_empty(void **state)
{
    (void)state;
    int64_t numbers[4];
    void *data;
    size_t bytes;
    assert_int_equal(store->ops->list(store, numbers, 4), 0);
    assert_int_equal(
        store->ops->get(store, &test_log.log, 1, "a.txt", 9, &data, &bytes), MU_NO_INPUT);
}

static void numbers_are_listed_in_their_order_and_the_newest_of_many(void **state)
{
    (void)state;
    int64_t numbers[3];
    const int64_t puts[] = {100, 20, 3, 1000};
    for (int i = 0; i < 4; i++)
        put(puts[i], "x");
    assert_int_equal(store->ops->list(store, numbers, 3), 4);
    assert_int_equal(numbers[0], 20);
    assert_int_equal(numbers[1], 100);
    assert_int_equal(numbers[2], 1000);
}

static void a_second_put_replaces_the_first(void **state)
{
    (void)state;
    int64_t numbers[2];
    put(5, "old");
    put(5, "newer");
    assert_holds(5, "a.txt", "newer!");
    assert_int_equal(store->ops->list(store, numbers, 2), 1);
}

static void what_is_dropped_is_gone_and_the_rest_stays(void **state)
{
    (void)state;
    int64_t numbers[2];
    put(1, "one");
    put(2, "two");
    assert_ok(store->ops->drop(store, &test_log.log, 1));
    assert_ok(store->ops->drop(store, &test_log.log, 1));
    assert_int_equal(store->ops->list(store, numbers, 2), 1);
    assert_holds(2, "a.txt", "two!");
}

static void a_file_larger_than_asked_for_is_refused(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    put(1, "0123456789");
    assert_int_equal(
        store->ops->get(store, &test_log.log, 1, "a.txt", 5, &data, &bytes), MU_BAD_DATA);
}

/* ---- files that are read and made in parts ---- */

static void a_file_is_read_in_parts_whatever_becomes_of_its_entry(void **state)
{
    (void)state;
    struct mu_store_open *file;
    char text[8] = "";
    size_t bytes;
    put(1, "0123456789");
    assert_ok(store->ops->open(store, &test_log.log, 1, "a.txt", 11, &file, &bytes));
    assert_int_equal(bytes, 11);
    put(1, "other");
    assert_ok(store->ops->drop(store, &test_log.log, 1));
    assert_ok(file->ops->read(file, &test_log.log, 7, text, 4));
    assert_memory_equal(text, "789!", 4);
    assert_ok(file->ops->read(file, &test_log.log, 0, text, 3));
    assert_memory_equal(text, "012", 3);
    assert_ok(file->ops->read(file, &test_log.log, 11, text, 0));
    assert_int_equal(file->ops->read(file, &test_log.log, 8, text, 4), MU_IO_ERROR);
    assert_said(&test_log, "error[E0605]: cannot read");
    file->ops->close(file);
}

static void a_file_that_is_not_there_or_too_large_is_not_opened(void **state)
{
    (void)state;
    struct mu_store_open *file;
    size_t bytes;
    put(1, "0123456789");
    assert_int_equal(
        store->ops->open(store, &test_log.log, 1, "a.txt", 10, &file, &bytes), MU_BAD_DATA);
    assert_int_equal(
        store->ops->open(store, &test_log.log, 1, "b.txt", 10, &file, &bytes), MU_NO_INPUT);
    assert_int_equal(
        store->ops->open(store, &test_log.log, 2, "a.txt", 10, &file, &bytes), MU_NO_INPUT);
}

/* Two parts, and then how it is to end. */
static enum mu_status make(void *owner, struct mu_store_output *output)
{
    const char *const *parts = owner;
    MU_TRY(output->write(output, parts[0], strlen(parts[0])));
    MU_TRY(output->write(output, parts[1], strlen(parts[1])));
    return parts[1][0] == '?' ? MU_BROKEN : MU_OK;
}

static enum mu_status put_made(int64_t number, const char *second)
{
    const char *parts[] = {"three, ", second};
    const struct mu_store_piece piece = {"one, two, ", 10};
    const struct mu_store_file files[] = {{.name = "before", .pieces = &piece, .piece_count = 1},
        {.name = "a.txt",
            .pieces = &piece,
            .piece_count = 1,
            .make = make,
            .owner = parts,
            .made_bytes = 7 + strlen(second)},
        {.name = "made", .make = make, .owner = parts}};
    return store->ops->put(store, &test_log.log, number, files, 3);
}

static void a_file_may_be_made_while_it_is_written(void **state)
{
    (void)state;
    assert_ok(put_made(3, "four"));
    assert_holds(3, "before", "one, two, ");
    assert_holds(3, "a.txt", "one, two, three, four");
    assert_holds(3, "made", "three, four");
}

static void what_fails_to_be_made_is_no_entry(void **state)
{
    (void)state;
    int64_t numbers[2];
    assert_ok(put_made(3, "four"));
    assert_int_equal(put_made(4, "?"), MU_BROKEN);
    assert_int_equal(put_made(3, "?"), MU_BROKEN);
    assert_int_equal(store->ops->list(store, numbers, 2), 1);
    assert_int_equal(numbers[0], 3);
    assert_holds(3, "made", "three, four");
}

static void a_scratch_file_holds_what_is_appended_and_is_no_entry(void **state)
{
    (void)state;
    int64_t numbers[2];
    struct mu_store_open *one, *other;
    char text[16];
    assert_ok(store->ops->scratch(store, &test_log.log, &one)); /* also in a store without folder */
    assert_ok(store->ops->scratch(store, &test_log.log, &other));
    assert_ok(one->ops->append(one, &test_log.log, "0123", 4));
    assert_ok(other->ops->append(other, &test_log.log, "abc", 3));
    put(1, "x");
    assert_ok(one->ops->append(one, &test_log.log, "456789", 6));
    assert_ok(one->ops->append(one, &test_log.log, "", 0));
    assert_ok(one->ops->read(one, &test_log.log, 2, text, 8));
    assert_memory_equal(text, "23456789", 8);
    assert_ok(other->ops->read(other, &test_log.log, 0, text, 3));
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(one->ops->read(one, &test_log.log, 9, text, 2), MU_IO_ERROR);
    assert_int_equal(store->ops->list(store, numbers, 2), 1);
    one->ops->close(one);
    other->ops->close(other);
}

static void an_entry_has_a_name_for_messages(void **state)
{
    (void)state;
    char text[200] = "";
    store->ops->describe(store, 42, text, sizeof(text));
    assert_non_null(strstr(text, "42"));
}

#define CASE(kind, claim)                                                                          \
    {                                                                                              \
#kind ": " #claim, claim, begin_##kind, end, NULL                                          \
    }
#define CASES(kind)                                                                                \
    CASE(kind, what_is_put_is_there), CASE(kind, a_new_store_is_empty),                            \
        CASE(kind, numbers_are_listed_in_their_order_and_the_newest_of_many),                      \
        CASE(kind, a_second_put_replaces_the_first),                                               \
        CASE(kind, what_is_dropped_is_gone_and_the_rest_stays),                                    \
        CASE(kind, a_file_larger_than_asked_for_is_refused),                                       \
        CASE(kind, a_file_is_read_in_parts_whatever_becomes_of_its_entry),                         \
        CASE(kind, a_file_that_is_not_there_or_too_large_is_not_opened),                           \
        CASE(kind, a_file_may_be_made_while_it_is_written),                                        \
        CASE(kind, what_fails_to_be_made_is_no_entry),                                             \
        CASE(kind, a_scratch_file_holds_what_is_appended_and_is_no_entry),                         \
        CASE(kind, an_entry_has_a_name_for_messages)

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(memory), CASES(directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
