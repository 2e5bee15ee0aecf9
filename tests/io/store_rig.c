/* SPDX-License-Identifier: Apache-2.0 */
#include "store_rig.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct store_rig_disk store_rig_disk;

static void machine_stops(void)
{
    for (int i = 0; i < store_rig_disk.unsynced_count; i++)
        if (ftruncate(store_rig_disk.unsynced[i], 0) != 0)
            _exit(3);
    _exit(42);
}

/* True if this call is the one that fails. */
static bool cut(void)
{
    if (store_rig_disk.kind == STORE_RIG_NO_CUT || store_rig_disk.calls_left-- != 0)
        return false;
    if (store_rig_disk.kind == STORE_RIG_DIE)
        machine_stops();
    errno = store_rig_disk.error;
    return true;
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    if (store_rig_disk.kind != STORE_RIG_NO_CUT && store_rig_disk.calls_left == 0 && bytes > 1)
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
    for (int i = 0; i < store_rig_disk.unsynced_count; i++)
        if (fstat(store_rig_disk.unsynced[i], &other) == 0 && other.st_ino == synced.st_ino) {
            (void)close(store_rig_disk.unsynced[i]);
            store_rig_disk.unsynced[i] = store_rig_disk.unsynced[--store_rig_disk.unsynced_count];
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
    if (fd >= 0 && store_rig_disk.kind == STORE_RIG_DIE)
        store_rig_disk.unsynced[store_rig_disk.unsynced_count++] = dup(fd);
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
    if (store_rig_disk.no_exchange) {
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

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    void (*closes)(void) = store_rig_disk.closes;
    store_rig_disk.closes = NULL;
    if (closes)
        closes();
    return __real_close(fd);
}

struct mu_test_log store_rig_log;
struct mu_log *store_rig_said;
char store_rig_folder[64];
char store_rig_checkpoints[96];

static int remove_one(const char *path, const struct stat *stat_, int type, struct FTW *ftw)
{
    return remove(path);
}

int store_rig_begin(void **state)
{
    memset(&store_rig_disk, 0, sizeof(store_rig_disk));
    store_rig_said = mu_test_log_init(&store_rig_log);
    strcpy(store_rig_folder, "/tmp/muster-store-XXXXXX");
    assert_non_null(mkdtemp(store_rig_folder));
    snprintf(store_rig_checkpoints, sizeof(store_rig_checkpoints), "%s/run/checkpoints",
        store_rig_folder);
    return 0;
}

int store_rig_end(void **state)
{
    memset(&store_rig_disk, 0, sizeof(store_rig_disk));
    (void)chmod(store_rig_folder, 0700);
    return nftw(store_rig_folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

enum mu_status store_rig_put(struct mu_store *store, int64_t number, const char *word)
{
    size_t bytes = strlen(word);
    struct mu_store_piece whole[] = {{word, bytes}};
    struct mu_store_piece halves[] = {{word, bytes / 2}, {word + bytes / 2, bytes - bytes / 2}};
    struct mu_store_file files[] = {
        {.name = "a.bin", .pieces = whole, .piece_count = 1},
        {.name = "b.bin", .pieces = halves, .piece_count = 2},
    };
    return store->ops->put(store, store_rig_said, number, files, 2);
}

bool store_rig_says(struct mu_store *store, int64_t number, const char *name, const char *word)
{
    void *data = NULL;
    size_t bytes = 0;
    if (store->ops->get(store, store_rig_said, number, name, 1024, &data, &bytes) != MU_OK)
        return false;
    bool same = bytes == strlen(word) && memcmp(data, word, bytes) == 0;
    free(data);
    return same;
}

bool store_rig_entry_says(struct mu_store *store, int64_t number, const char *word)
{
    return store_rig_says(store, number, "a.bin", word) &&
           store_rig_says(store, number, "b.bin", word);
}

struct mu_store *store_rig_open(void)
{
    struct mu_store *store = NULL;
    assert_ok(mu_store_directory_open(store_rig_said, store_rig_checkpoints, &store));
    return store;
}

int store_rig_count_hidden(void)
{
    int count = 0;
    DIR *names = opendir(store_rig_checkpoints);
    for (struct dirent *item; names && (item = readdir(names));)
        count += item->d_name[0] == '.' && strcmp(item->d_name, ".") != 0 &&
                 strcmp(item->d_name, "..") != 0;
    if (names)
        closedir(names);
    return count;
}
