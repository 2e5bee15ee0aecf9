/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/folder.h"
#include "store_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The store on disk. */

static void a_store_that_is_not_there_is_empty(void **state)
{
    struct mu_store *store = store_rig_open();
    int64_t numbers[4];
    void *data;
    size_t bytes;
    assert_int_equal(store->ops->list(store, numbers, 4), 0);
    assert_int_equal(
        store->ops->get(store, store_rig_said, 1, "a.bin", 9, &data, &bytes), MU_NO_INPUT);
    assert_ok(store->ops->drop(store, store_rig_said, 1));
    assert_int_equal(access(store_rig_checkpoints, F_OK), -1); /* looking makes nothing */
    assert_string_equal(store_rig_log.text, "");
    store->ops->close(store);
}

static void what_was_put_is_got(void **state)
{
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 7, "seven"));
    assert_true(store_rig_entry_says(store, 7, "seven"));
    assert_int_equal(store_rig_count_hidden(), 0);
    store->ops->close(store);
}

static void numbers_are_sorted_as_numbers(void **state)
{
    struct mu_store *store = store_rig_open();
    int64_t put[] = {100, 9, 1000, 0, 20};
    for (int i = 0; i < 5; i++)
        assert_ok(store_rig_put(store, put[i], "x"));
    int64_t all[8], newest[2];
    assert_int_equal(store->ops->list(store, all, 8), 5);
    int64_t sorted[] = {0, 9, 20, 100, 1000};
    assert_memory_equal(all, sorted, sizeof(sorted));
    assert_int_equal(store->ops->list(store, newest, 2), 5);
    assert_int_equal(newest[0], 100);
    assert_int_equal(newest[1], 1000);
    store->ops->close(store);
}

static void what_is_no_entry_is_not_listed(void **state)
{
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 5, "x"));
    const char *strange[] = {"007", "-3", "12x", "latest", "99999999999999999999", ".put-1"};
    for (size_t i = 0; i < MU_COUNT_OF(strange); i++) {
        char path[192];
        snprintf(path, sizeof(path), "%s/%s", store_rig_checkpoints, strange[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    char file[192], link[192];
    snprintf(file, sizeof(file), "%s/8", store_rig_checkpoints);
    snprintf(link, sizeof(link), "%s/9", store_rig_checkpoints);
    assert_ok(mu_folder_write(store_rig_said, file, "x", 1));
    assert_int_equal(symlink("5", link), 0);
    int64_t numbers[8];
    assert_int_equal(store->ops->list(store, numbers, 8), 1);
    assert_int_equal(numbers[0], 5);
    store->ops->close(store);
}

static void an_entry_that_is_a_link_is_passed_over_and_said_to_be(void **state)
{
    struct mu_store *store = store_rig_open();
    int64_t numbers[4];
    char link[192];
    assert_ok(store_rig_put(store, 5, "x"));
    store->ops->close(store);
    snprintf(link, sizeof(link), "%s/9", store_rig_checkpoints);
    assert_int_equal(symlink("5", link), 0);
    snprintf(link, sizeof(link), "%s/latest", store_rig_checkpoints); /* for people, not for us */
    assert_int_equal(symlink("5", link), 0);
    store = store_rig_open();
    assert_said(
        &store_rig_log, "/9 is a symbolic link and is passed over: put the checkpoint itself");
    assert_null(strstr(store_rig_log.text, "latest"));
    assert_int_equal(store->ops->list(store, numbers, 4), 1);
    assert_int_equal(numbers[0], 5);
    store->ops->close(store);
}

static void a_put_replaces_an_entry_of_the_same_number(void **state)
{
    struct mu_store *store = store_rig_open();
    for (int i = 0; i < 2; i++) {
        store_rig_disk.no_exchange = i == 1;
        assert_ok(store_rig_put(store, 3, "old"));
        assert_ok(store_rig_put(store, 3, "new words"));
        assert_true(store_rig_entry_says(store, 3, "new words"));
        assert_int_equal(store_rig_count_hidden(), 0);
    }
    store->ops->close(store);
}

static void a_dropped_entry_is_gone(void **state)
{
    struct mu_store *store = store_rig_open();
    int64_t numbers[4];
    assert_ok(store_rig_put(store, 3, "x"));
    assert_ok(store_rig_put(store, 4, "x"));
    assert_ok(store->ops->drop(store, store_rig_said, 3));
    assert_int_equal(store->ops->list(store, numbers, 4), 1);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(store_rig_count_hidden(), 0);
    store->ops->close(store);
}

static void files_are_the_users_alone(void **state)
{
    struct mu_store *store = store_rig_open();
    mode_t before = umask(0);
    assert_ok(store_rig_put(store, 1, "x"));
    umask(before);
    struct stat stat_;
    char path[192];
    snprintf(path, sizeof(path), "%s/1", store_rig_checkpoints);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/1/a.bin", store_rig_checkpoints);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    store->ops->close(store);
}

static void a_planted_link_or_pipe_is_not_read(void **state)
{
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "x"));
    char path[192];
    void *data;
    size_t bytes;
    snprintf(path, sizeof(path), "%s/1/link.bin", store_rig_checkpoints);
    assert_int_equal(symlink("a.bin", path), 0);
    assert_int_equal(
        store->ops->get(store, store_rig_said, 1, "link.bin", 9, &data, &bytes), MU_BAD_DATA);
    assert_said(&store_rig_log, "symbolic link");
    snprintf(path, sizeof(path), "%s/1/pipe.bin", store_rig_checkpoints);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(
        store->ops->get(store, store_rig_said, 1, "pipe.bin", 9, &data, &bytes), MU_BAD_DATA);
    store->ops->close(store);
}

/* A socket is what root may not open either. To make room would help nobody. */
static void what_may_not_be_opened_is_named_with_who_may(void **state)
{
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "x"));
    char path[192], help[256];
    void *data;
    size_t bytes;
    snprintf(path, sizeof(path), "%s/1/shut.bin", store_rig_checkpoints);
    assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
    assert_int_equal(
        store->ops->get(store, store_rig_said, 1, "shut.bin", 9, &data, &bytes), MU_IO_ERROR);
    snprintf(help, sizeof(help), "`ls -ld %s` shows what it is and who may read it", path);
    assert_said(&store_rig_log, help);
    store->ops->close(store);
}

static void a_file_over_the_limit_is_not_read(void **state)
{
    struct mu_store *store = store_rig_open();
    assert_ok(store_rig_put(store, 1, "four"));
    void *data;
    size_t bytes;
    assert_int_equal(
        store->ops->get(store, store_rig_said, 1, "a.bin", 3, &data, &bytes), MU_BAD_DATA);
    assert_said(&store_rig_log, "has 4 bytes; at most 3");
    store->ops->close(store);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    char file[128];
    snprintf(file, sizeof(file), "%s/run", store_rig_folder);
    assert_ok(mu_folder_write(store_rig_said, file, "x", 1));
    struct mu_store *store = store_rig_open();
    assert_int_equal(store_rig_put(store, 1, "x"), MU_CANNOT_CREATE);
    assert_said(&store_rig_log, file);
    assert_said(&store_rig_log, "E0604");
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_RIG_CASE(a_store_that_is_not_there_is_empty),
        STORE_RIG_CASE(what_was_put_is_got),
        STORE_RIG_CASE(numbers_are_sorted_as_numbers),
        STORE_RIG_CASE(what_is_no_entry_is_not_listed),
        STORE_RIG_CASE(an_entry_that_is_a_link_is_passed_over_and_said_to_be),
        STORE_RIG_CASE(a_put_replaces_an_entry_of_the_same_number),
        STORE_RIG_CASE(a_dropped_entry_is_gone),
        STORE_RIG_CASE(files_are_the_users_alone),
        STORE_RIG_CASE(a_planted_link_or_pipe_is_not_read),
        STORE_RIG_CASE(what_may_not_be_opened_is_named_with_who_may),
        STORE_RIG_CASE(a_file_over_the_limit_is_not_read),
        STORE_RIG_CASE(a_folder_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
