/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on disk, and what is left of it when the process dies at any of its system calls. The
 * calls that change the disk are wrapped by the linker; a countdown makes one of them the last (the
 * child dies) or a failing one (ENOSPC, EIO).
 */
#include "runtime/io/folder.h"
#include "runtime/io/kept_file.h"
#include "runtime/io/run_lock.h"
#include "runtime/io/store_directory.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum cut { CUT_NONE, CUT_DIE, CUT_FAIL };

static struct {
    enum cut kind;
    int calls_left; /* before the cut */
    int error;
    bool no_exchange; /* as on a file system that cannot exchange two names */
    /* Files that were written and not synced: a machine that stops loses them. */
    int unsynced[16];
    int unsynced_count;
} disk;

static void machine_stops(void)
{
    for (int i = 0; i < disk.unsynced_count; i++)
        if (ftruncate(disk.unsynced[i], 0) != 0)
            _exit(3);
    _exit(42);
}

/* True if this call is the one that fails. */
static bool cut(void)
{
    if (disk.kind == CUT_NONE || disk.calls_left-- != 0)
        return false;
    if (disk.kind == CUT_DIE)
        machine_stops();
    errno = disk.error;
    return true;
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    if (disk.kind != CUT_NONE && disk.calls_left == 0 && bytes > 1)
        (void)!__real_write(fd, data, bytes / 2); /* cut in the middle */
    return cut() ? -1 : __real_write(fd, data, bytes);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    if (cut())
        return -1;
    struct stat synced, other;
    (void)fstat(fd, &synced);
    for (int i = 0; i < disk.unsynced_count; i++)
        if (fstat(disk.unsynced[i], &other) == 0 && other.st_ino == synced.st_ino) {
            (void)close(disk.unsynced[i]);
            disk.unsynced[i] = disk.unsynced[--disk.unsynced_count];
            break;
        }
    return 0;
}

int __real_openat64(int folder, const char *name, int flags, ...);
int __wrap_openat64(int folder, const char *name, int flags, ...);
int __wrap_openat64(int folder, const char *name, int flags, ...)
{
    if (!(flags & O_CREAT))
        return __real_openat64(folder, name, flags);
    if (cut())
        return -1;
    int fd = __real_openat64(folder, name, flags, 0600);
    if (fd >= 0 && disk.kind == CUT_DIE)
        disk.unsynced[disk.unsynced_count++] = dup(fd);
    return fd;
}

int __real_mkdirat(int folder, const char *name, mode_t mode);
int __wrap_mkdirat(int folder, const char *name, mode_t mode);
int __wrap_mkdirat(int folder, const char *name, mode_t mode)
{
    return cut() ? -1 : __real_mkdirat(folder, name, mode);
}

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b)
{
    return cut() ? -1 : __real_renameat(from, a, to, b);
}

int __real_renameat2(int from, const char *a, int to, const char *b, unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b, unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
    if (disk.no_exchange) {
        errno = EINVAL;
        return -1;
    }
    return cut() ? -1 : __real_renameat2(from, a, to, b, flags);
}

int __real_unlinkat(int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags)
{
    return cut() ? -1 : __real_unlinkat(folder, name, flags);
}

static struct mu_test_log test_log;
static struct mu_log *test_said;
static char scratch[64];
static char checkpoints[96];

static int remove_one(const char *path, const struct stat *stat_, int type, struct FTW *ftw)
{
    return remove(path);
}

static int make_scratch(void **state)
{
    memset(&disk, 0, sizeof(disk));
    test_said = mu_test_log_init(&test_log);
    strcpy(scratch, "/tmp/muster-store-XXXXXX");
    assert_non_null(mkdtemp(scratch));
    snprintf(checkpoints, sizeof(checkpoints), "%s/run/checkpoints", scratch);
    return 0;
}

static int remove_scratch(void **state)
{
    memset(&disk, 0, sizeof(disk));
    (void)chmod(scratch, 0700);
    return nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* An entry whose two files both say `word`, one of them in two pieces. */
static enum mu_status put_word(struct mu_store *store, int64_t number, const char *word)
{
    size_t bytes = strlen(word);
    struct mu_store_piece whole[] = {{word, bytes}};
    struct mu_store_piece halves[] = {{word, bytes / 2}, {word + bytes / 2, bytes - bytes / 2}};
    struct mu_store_file files[] = {
        {"a.bin", whole, 1},
        {"b.bin", halves, 2},
    };
    return store->ops->put(store, test_said, number, files, 2);
}

static bool says(struct mu_store *store, int64_t number, const char *name, const char *word)
{
    void *data = NULL;
    size_t bytes = 0;
    if (store->ops->get(store, test_said, number, name, 1024, &data, &bytes) != MU_OK)
        return false;
    bool same = bytes == strlen(word) && memcmp(data, word, bytes) == 0;
    free(data);
    return same;
}

static bool entry_says(struct mu_store *store, int64_t number, const char *word)
{
    return says(store, number, "a.bin", word) && says(store, number, "b.bin", word);
}

static struct mu_store *open_store(void)
{
    struct mu_store *store = NULL;
    assert_ok(mu_store_directory_open(test_said, checkpoints, &store));
    return store;
}

/* Hidden names in the folder: leftovers. */
static int count_hidden(void)
{
    int count = 0;
    DIR *names = opendir(checkpoints);
    for (struct dirent *item; names && (item = readdir(names));)
        count += item->d_name[0] == '.' && strcmp(item->d_name, ".") != 0 &&
                 strcmp(item->d_name, "..") != 0;
    if (names)
        closedir(names);
    return count;
}

static void a_store_that_is_not_there_is_empty(void **state)
{
    struct mu_store *store = open_store();
    int64_t numbers[4];
    void *data;
    size_t bytes;
    assert_int_equal(store->ops->list(store, numbers, 4), 0);
    assert_int_equal(store->ops->get(store, test_said, 1, "a.bin", 9, &data, &bytes), MU_NO_INPUT);
    assert_ok(store->ops->drop(store, test_said, 1));
    assert_int_equal(access(checkpoints, F_OK), -1); /* looking makes nothing */
    assert_string_equal(test_log.text, "");
    store->ops->close(store);
}

static void what_was_put_is_got(void **state)
{
    struct mu_store *store = open_store();
    assert_ok(put_word(store, 7, "seven"));
    assert_true(entry_says(store, 7, "seven"));
    assert_int_equal(count_hidden(), 0);
    store->ops->close(store);
}

static void numbers_are_sorted_as_numbers(void **state)
{
    struct mu_store *store = open_store();
    int64_t put[] = {100, 9, 1000, 0, 20};
    for (int i = 0; i < 5; i++)
        assert_ok(put_word(store, put[i], "x"));
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
    struct mu_store *store = open_store();
    assert_ok(put_word(store, 5, "x"));
    const char *strange[] = {"007", "-3", "12x", "latest", "99999999999999999999", ".put-1"};
    for (size_t i = 0; i < MU_COUNT_OF(strange); i++) {
        char path[192];
        snprintf(path, sizeof(path), "%s/%s", checkpoints, strange[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    char file[192], link[192];
    snprintf(file, sizeof(file), "%s/8", checkpoints);
    snprintf(link, sizeof(link), "%s/9", checkpoints);
    assert_ok(mu_folder_write(test_said, file, "x", 1));
    assert_int_equal(symlink("5", link), 0);
    int64_t numbers[8];
    assert_int_equal(store->ops->list(store, numbers, 8), 1);
    assert_int_equal(numbers[0], 5);
    store->ops->close(store);
}

static void an_entry_that_is_a_link_is_passed_over_and_said_to_be(void **state)
{
    struct mu_store *store = open_store();
    int64_t numbers[4];
    char link[192];
    assert_ok(put_word(store, 5, "x"));
    store->ops->close(store);
    snprintf(link, sizeof(link), "%s/9", checkpoints);
    assert_int_equal(symlink("5", link), 0);
    snprintf(link, sizeof(link), "%s/latest", checkpoints); /* for people, not for us */
    assert_int_equal(symlink("5", link), 0);
    store = open_store();
    assert_said(&test_log, "/9 is a symbolic link and is passed over: put the checkpoint itself");
    assert_null(strstr(test_log.text, "latest"));
    assert_int_equal(store->ops->list(store, numbers, 4), 1);
    assert_int_equal(numbers[0], 5);
    store->ops->close(store);
}

static void a_put_replaces_an_entry_of_the_same_number(void **state)
{
    struct mu_store *store = open_store();
    for (int i = 0; i < 2; i++) {
        disk.no_exchange = i == 1;
        assert_ok(put_word(store, 3, "old"));
        assert_ok(put_word(store, 3, "new words"));
        assert_true(entry_says(store, 3, "new words"));
        assert_int_equal(count_hidden(), 0);
    }
    store->ops->close(store);
}

static void a_dropped_entry_is_gone(void **state)
{
    struct mu_store *store = open_store();
    int64_t numbers[4];
    assert_ok(put_word(store, 3, "x"));
    assert_ok(put_word(store, 4, "x"));
    assert_ok(store->ops->drop(store, test_said, 3));
    assert_int_equal(store->ops->list(store, numbers, 4), 1);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(count_hidden(), 0);
    store->ops->close(store);
}

static void files_are_the_users_alone(void **state)
{
    struct mu_store *store = open_store();
    mode_t before = umask(0);
    assert_ok(put_word(store, 1, "x"));
    umask(before);
    struct stat stat_;
    char path[192];
    snprintf(path, sizeof(path), "%s/1", checkpoints);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/1/a.bin", checkpoints);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    store->ops->close(store);
}

static void a_planted_link_or_pipe_is_not_read(void **state)
{
    struct mu_store *store = open_store();
    assert_ok(put_word(store, 1, "x"));
    char path[192];
    void *data;
    size_t bytes;
    snprintf(path, sizeof(path), "%s/1/link.bin", checkpoints);
    assert_int_equal(symlink("a.bin", path), 0);
    assert_int_equal(
        store->ops->get(store, test_said, 1, "link.bin", 9, &data, &bytes), MU_BAD_DATA);
    assert_said(&test_log, "symbolic link");
    snprintf(path, sizeof(path), "%s/1/pipe.bin", checkpoints);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(
        store->ops->get(store, test_said, 1, "pipe.bin", 9, &data, &bytes), MU_BAD_DATA);
    store->ops->close(store);
}

static void a_file_over_the_limit_is_not_read(void **state)
{
    struct mu_store *store = open_store();
    assert_ok(put_word(store, 1, "four"));
    void *data;
    size_t bytes;
    assert_int_equal(store->ops->get(store, test_said, 1, "a.bin", 3, &data, &bytes), MU_BAD_DATA);
    assert_said(&test_log, "has 4 bytes; at most 3");
    store->ops->close(store);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    char file[128];
    snprintf(file, sizeof(file), "%s/run", scratch);
    assert_ok(mu_folder_write(test_said, file, "x", 1));
    struct mu_store *store = open_store();
    assert_int_equal(put_word(store, 1, "x"), MU_CANNOT_CREATE);
    assert_said(&test_log, file);
    assert_said(&test_log, "E0604");
    store->ops->close(store);
}

/* What the cut tests do: entries 1 and 2 are there, 2 is replaced and 3 is new. */
static void work(struct mu_store *store, enum mu_status ret[2])
{
    ret[0] = put_word(store, 2, "second again");
    ret[1] = put_word(store, 3, "third");
}

static void dies_or_not(int cut_at, bool no_exchange, int *ret_exit)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        disk.kind = CUT_DIE;
        disk.calls_left = cut_at;
        disk.no_exchange = no_exchange;
        struct mu_store *store = NULL;
        enum mu_status status[2] = {MU_BUG, MU_BUG};
        if (mu_store_directory_open(test_said, checkpoints, &store) == MU_OK)
            work(store, status);
        _exit(status[0] == MU_OK && status[1] == MU_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    *ret_exit = WEXITSTATUS(status);
}

static void all_listed_entries_are_whole(struct mu_store *store)
{
    int64_t numbers[8];
    size_t count = store->ops->list(store, numbers, 8);
    assert_in_range(count, 2, 3);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 2);
    assert_true(entry_says(store, 1, "first"));
    assert_true(entry_says(store, 2, "second") || entry_says(store, 2, "second again"));
    if (count == 3) {
        assert_int_equal(numbers[2], 3);
        assert_true(entry_says(store, 3, "third"));
    }
}

static void death_at_every_call(bool no_exchange)
{
    int cut_at = 0, code = 42;
    for (; code == 42; cut_at++) {
        struct mu_store *store = open_store();
        assert_ok(put_word(store, 1, "first"));
        assert_ok(put_word(store, 2, "second"));
        dies_or_not(cut_at, no_exchange, &code);
        all_listed_entries_are_whole(store);
        assert_ok(put_word(store, 1, "first")); /* the next put cleans up */
        assert_int_equal(count_hidden(), 0);
        all_listed_entries_are_whole(store);
        store->ops->close(store);
        remove_scratch(NULL);
        make_scratch(NULL);
    }
    assert_int_equal(code, 0);
    assert_in_range(cut_at, 20, 200); /* the countdown did reach the calls */
}

static void death_at_any_call_leaves_whole_entries(void **state)
{
    death_at_every_call(false);
}

static void death_at_any_call_leaves_whole_entries_without_exchange(void **state)
{
    death_at_every_call(true);
}

static void failure_at_every_call(int error)
{
    int cut_at = 0, failed = 1;
    for (; failed; cut_at++) {
        struct mu_store *store = open_store();
        assert_ok(put_word(store, 1, "first"));
        assert_ok(put_word(store, 2, "second"));
        disk.kind = CUT_FAIL;
        disk.calls_left = cut_at;
        disk.error = error;
        enum mu_status status[2];
        work(store, status);
        failed = disk.calls_left < 0;
        disk.kind = CUT_NONE;
        all_listed_entries_are_whole(store);
        assert_true(status[0] == MU_OK || entry_says(store, 2, "second"));
        assert_true(status[0] != MU_OK || entry_says(store, 2, "second again"));
        int64_t numbers[4];
        assert_int_equal(store->ops->list(store, numbers, 4), status[1] == MU_OK ? 3 : 2);
        if (status[0] != MU_OK || status[1] != MU_OK)
            assert_said(&test_log, strerror(error));
        store->ops->close(store);
        remove_scratch(NULL);
        make_scratch(NULL);
    }
    assert_in_range(cut_at, 20, 200);
}

static void a_failing_call_leaves_nothing_of_the_entry(void **state)
{
    failure_at_every_call(EIO);
}

static void a_full_disk_is_named_with_what_was_needed(void **state)
{
    failure_at_every_call(ENOSPC);
    struct mu_store *store = open_store();
    assert_ok(put_word(store, 1, "first"));
    disk.kind = CUT_FAIL;
    disk.error = ENOSPC;
    disk.calls_left = 2; /* the folder, the file, then its bytes */
    assert_int_equal(put_word(store, 2, "second"), MU_IO_ERROR);
    disk.kind = CUT_NONE;
    assert_said(&test_log, "E0605");
    assert_said(&test_log, "a.bin: No space left on device (needs 6 B, ");
    assert_said(&test_log, "help: `df -h /");
    store->ops->close(store);
}

static void a_second_run_in_a_directory_is_refused(void **state)
{
    struct mu_run_lock *first = NULL, *second = NULL;
    strcpy(test_said->task, "chief/0");
    assert_ok(mu_run_lock_open(test_said, scratch, "h2", 412, &first));
    strcpy(test_said->task, "worker/0");
    assert_int_equal(mu_run_lock_open(test_said, scratch, "h3", 9, &second), MU_CANNOT_CREATE);
    assert_said(&test_log, "error[E0607]: worker/0 cannot begin: ");
    assert_said(&test_log, "is locked by chief/0, pid 412 on h2, since 20");
    assert_said(&test_log, "`kill -TERM 412` on its host ends it");
    test_said->task[0] = '\0';
    assert_int_equal(mu_run_lock_check(test_said, scratch), MU_CANNOT_CREATE);
    mu_run_lock_close(first);
    assert_ok(mu_run_lock_check(test_said, scratch));
    assert_ok(mu_run_lock_open(test_said, scratch, "h3", 9, &second));
    mu_run_lock_close(second);
    mu_run_lock_close(NULL);
}

static void a_lock_file_that_is_a_link_is_refused(void **state)
{
    char link[128], victim[128];
    snprintf(link, sizeof(link), "%s/.lock", scratch);
    snprintf(victim, sizeof(victim), "%s/victim", scratch);
    assert_ok(mu_folder_write(test_said, victim, "precious", 8));
    assert_int_equal(symlink("victim", link), 0);
    struct mu_run_lock *lock = NULL;
    assert_int_equal(mu_run_lock_open(test_said, scratch, "h", 1, &lock), MU_CANNOT_CREATE);
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
    snprintf(path, sizeof(path), "%s/summary.json", scratch);
    disk.error = EIO;
    for (int cut_at = 0;; cut_at++) {
        assert_ok(mu_folder_write(test_said, path, "old", 3));
        disk.kind = CUT_FAIL;
        disk.calls_left = cut_at;
        enum mu_status status = replace(test_said, path, "newer", 5);
        bool reached = disk.calls_left < 0;
        disk.kind = CUT_NONE;
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
    snprintf(path, sizeof(path), "%s/status.json", scratch);
    assert_true(mu_kept_file_write(path, "the longest of all", 18, 4096));
    disk.error = ENOSPC;
    for (int cut_at = 1; cut_at < 4; cut_at++) {
        const char *texts[] = {"a longer text", "short"};
        for (int i = 0; i < 2; i++) {
            disk.kind = CUT_FAIL;
            disk.calls_left = cut_at;
            assert_true(mu_kept_file_write(path, texts[i], strlen(texts[i]), 4096));
            assert_true(disk.calls_left < 0);
            disk.kind = CUT_NONE;
            check_text(path, texts[i]);
        }
    }
    mu_kept_file_finish(path);
    check_text(path, "short");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_store_that_is_not_there_is_empty),
        CASE(what_was_put_is_got),
        CASE(numbers_are_sorted_as_numbers),
        CASE(what_is_no_entry_is_not_listed),
        CASE(an_entry_that_is_a_link_is_passed_over_and_said_to_be),
        CASE(a_put_replaces_an_entry_of_the_same_number),
        CASE(a_dropped_entry_is_gone),
        CASE(files_are_the_users_alone),
        CASE(a_planted_link_or_pipe_is_not_read),
        CASE(a_file_over_the_limit_is_not_read),
        CASE(a_folder_that_cannot_be_made_is_named),
        CASE(death_at_any_call_leaves_whole_entries),
        CASE(death_at_any_call_leaves_whole_entries_without_exchange),
        CASE(a_failing_call_leaves_nothing_of_the_entry),
        CASE(a_full_disk_is_named_with_what_was_needed),
        CASE(a_second_run_in_a_directory_is_refused),
        CASE(a_lock_file_that_is_a_link_is_refused),
        CASE(a_file_is_replaced_whole_or_not_at_all),
        CASE(a_kept_file_is_replaced_without_room_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
