/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/folder.h"
#include "runtime/io/kept_file.h"
#include "runtime/io/run_lock.h"
#include "store_rig.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lock of a run directory, and files in it that are replaced. */

static void a_second_run_in_a_directory_is_refused(void **state)
{
    struct mu_run_lock *first = NULL, *second = NULL;
    strcpy(store_rig_said->task, "chief/0");
    assert_ok(mu_run_lock_open(store_rig_said, store_rig_folder, "h2", 412, &first));
    strcpy(store_rig_said->task, "worker/0");
    assert_int_equal(
        mu_run_lock_open(store_rig_said, store_rig_folder, "h3", 9, &second), MU_CANNOT_CREATE);
    assert_said(&store_rig_log, "error[E0607]: worker/0 cannot begin: ");
    assert_said(&store_rig_log, "is locked by chief/0, pid 412 on h2, since 20");
    assert_said(&store_rig_log, "`kill -TERM 412` on its host ends it");
    store_rig_said->task[0] = '\0';
    assert_int_equal(mu_run_lock_check(store_rig_said, store_rig_folder), MU_CANNOT_CREATE);
    mu_run_lock_close(first);
    assert_ok(mu_run_lock_check(store_rig_said, store_rig_folder));
    assert_ok(mu_run_lock_open(store_rig_said, store_rig_folder, "h3", 9, &second));
    mu_run_lock_close(second);
    mu_run_lock_close(NULL);
}

static enum mu_status begun;

static void begin(void)
{
    struct mu_run_lock *lock = NULL;
    begun = mu_run_lock_open(store_rig_said, store_rig_folder, "h3", 9, &lock);
    mu_run_lock_close(lock);
}

/* A run begins while somebody has the file open to look. */
static void who_looks_keeps_no_run_from_beginning(void **state)
{
    begin();
    assert_ok(begun);
    begun = MU_BUG;
    store_rig_disk.closes = begin;
    assert_ok(mu_run_lock_check(store_rig_said, store_rig_folder));
    assert_ok(begun);
}

static void a_lock_file_that_is_a_link_is_refused(void **state)
{
    char link[128], victim[128];
    snprintf(link, sizeof(link), "%s/.lock", store_rig_folder);
    snprintf(victim, sizeof(victim), "%s/victim", store_rig_folder);
    assert_ok(mu_folder_write(store_rig_said, victim, "precious", 8));
    assert_int_equal(symlink("victim", link), 0);
    struct mu_run_lock *lock = NULL;
    assert_int_equal(
        mu_run_lock_open(store_rig_said, store_rig_folder, "h", 1, &lock), MU_CANNOT_CREATE);
    struct stat stat_;
    assert_int_equal(stat(victim, &stat_), 0);
    assert_int_equal(stat_.st_size, 8);
}

static enum mu_status replace_unsynced(
    struct mu_log *log, const char *path, const void *data, size_t bytes)
{
    (void)log;
    return mu_kept_file_write(path, data, bytes, 4096) ? MU_OK : MU_IO_ERROR;
}

/* Cut at every call of the system. */
static void check_replacing(
    enum mu_status (*replace)(struct mu_log *log, const char *path, const void *data, size_t bytes),
    int calls_min)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/summary.json", store_rig_folder);
    store_rig_disk.error = EIO;
    for (int cut_at = 0;; cut_at++) {
        assert_ok(mu_folder_write(store_rig_said, path, "old", 3));
        store_rig_disk.kind = STORE_RIG_FAIL;
        store_rig_disk.calls_left = cut_at;
        enum mu_status status = replace(store_rig_said, path, "newer", 5);
        bool reached = store_rig_disk.calls_left < 0;
        store_rig_disk.kind = STORE_RIG_NO_CUT;
        struct stat stat_;
        assert_int_equal(stat(path, &stat_), 0);
        assert_true(stat_.st_size == 5 || (stat_.st_size == 3 && status != MU_OK));
        if (!reached) {
            assert_ok(status);
            assert_in_range(cut_at, calls_min, 10);
            return;
        }
    }
}

static void a_file_is_replaced_whole_or_not_at_all(void **state)
{
    check_replacing(mu_folder_write, 4);
    check_replacing(replace_unsynced, 2);
}

static void check_text(const char *path, const char *expected)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    while (bytes > 0 && text[bytes - 1] == ' ')
        text[--bytes] = '\0';
    assert_string_equal(text, expected);
}

/* Whichever call of the first way finds no room. */
static void a_kept_file_is_replaced_without_room_too(void **state)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/status.json", store_rig_folder);
    assert_true(mu_kept_file_write(path, "the longest of all", 18, 4096));
    store_rig_disk.error = ENOSPC;
    for (int cut_at = 1; cut_at < 4; cut_at++) {
        const char *texts[] = {"a longer text", "short"};
        for (int i = 0; i < 2; i++) {
            store_rig_disk.kind = STORE_RIG_FAIL;
            store_rig_disk.calls_left = cut_at;
            assert_true(mu_kept_file_write(path, texts[i], strlen(texts[i]), 4096));
            assert_true(store_rig_disk.calls_left < 0);
            store_rig_disk.kind = STORE_RIG_NO_CUT;
            check_text(path, texts[i]);
        }
    }
    mu_kept_file_finish(path);
    check_text(path, "short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_RIG_CASE(a_second_run_in_a_directory_is_refused),
        STORE_RIG_CASE(who_looks_keeps_no_run_from_beginning),
        STORE_RIG_CASE(a_lock_file_that_is_a_link_is_refused),
        STORE_RIG_CASE(a_file_is_replaced_whole_or_not_at_all),
        STORE_RIG_CASE(a_kept_file_is_replaced_without_room_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
