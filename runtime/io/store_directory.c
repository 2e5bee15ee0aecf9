/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/store_directory.h"
#include "runtime/base/shell.h"
#include "runtime/io/folder.h"
#include "runtime/io/store_open.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Names in the folder of a store:
 *
 *   500               an entry: whole, because it got this name last
 *   .put-<random>     an entry being written; or, after an exchange, the one it replaced
 *   .old-500          where two names cannot be exchanged: the entry while it is being replaced
 *   .drop-500         an entry on its way out
 *   .scratch-<random> a scratch file, between its creation and its unlinking
 */
#define PUT_PREFIX ".put-"
#define OLD_PREFIX ".old-"
#define DROP_PREFIX ".drop-"
#define ENTRY_NAME_BYTES 40

struct directory_store {
    struct mu_store store; /* first: what callers hold */
    char path[];
};

static const char *path_of(const struct mu_store *store)
{
    const struct directory_store *self = (const struct directory_store *)store;
    return self->path;
}

static bool starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* "500": digits as they would be printed, so that one number has one name. */
static bool parse_number(const char *name, int64_t *ret_number)
{
    if (!mu_text_to_int64(name, ret_number) || *ret_number < 0)
        return false;
    char again[ENTRY_NAME_BYTES];
    mu_format(again, sizeof(again), "%lld", (long long)*ret_number);
    return strcmp(again, name) == 0;
}

static bool is_folder_at(int root, const char *name)
{
    struct stat stat_;
    return fstatat(root, name, &stat_, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat_.st_mode);
}

static bool is_link_to_folder_at(int root, const char *name)
{
    struct stat stat_;
    return !is_folder_at(root, name) && fstatat(root, name, &stat_, 0) == 0 &&
           S_ISDIR(stat_.st_mode);
}

static int open_folder_at(int root, const char *name)
{
    return openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The names in an open folder, one after the other; the stream has its own descriptor. */
static DIR *open_names(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = copy < 0 ? NULL : fdopendir(copy);
    if (!names && copy >= 0)
        (void)close(copy);
    return names;
}

/* Removes an entry's folder with its files; entries have no folders in them. */
static bool remove_folder(int root, const char *name)
{
    int folder = open_folder_at(root, name);
    if (folder < 0)
        return errno == ENOENT;
    DIR *names = open_names(folder);
    for (struct dirent *item; names && (item = readdir(names));)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            (void)unlinkat(folder, item->d_name, 0);
    if (names)
        (void)closedir(names);
    (void)close(folder);
    return unlinkat(root, name, AT_REMOVEDIR) == 0;
}

/* What a crash left. There is one writer, so nothing hidden is anybody's work in progress. */
static void remove_leftover(int root, const char *name)
{
    int64_t number;
    if (starts_with(name, OLD_PREFIX) && parse_number(name + strlen(OLD_PREFIX), &number) &&
        !is_folder_at(root, name + strlen(OLD_PREFIX)))
        (void)renameat(root, name, root, name + strlen(OLD_PREFIX));
    else if (starts_with(name, PUT_PREFIX) || starts_with(name, OLD_PREFIX) ||
             starts_with(name, DROP_PREFIX))
        (void)remove_folder(root, name);
    else if (starts_with(name, MU_STORE_OPEN_SCRATCH))
        (void)unlinkat(root, name, 0);
}

static void remove_leftovers(int root)
{
    DIR *names = open_names(root);
    for (struct dirent *item; names && (item = readdir(names));)
        remove_leftover(root, item->d_name);
    if (names)
        (void)closedir(names);
}

/* Says why an entry could not be put; where the disk is full, also how full. */
static enum mu_status put_failed(struct mu_store *store, struct mu_log *log, enum mu_error error,
    int64_t number, const char *name, size_t bytes)
{
    int reason = errno;
    char what[ENTRY_NAME_BYTES + MU_STORE_NAME_MAX];
    mu_format(what, sizeof(what), "%lld/%s", (long long)number, name);
    return mu_store_open_failed(log, error, path_of(store), what, bytes, reason);
}

static size_t bytes_of(const struct mu_store_file *file)
{
    size_t bytes = file->made_bytes;
    for (size_t i = 0; i < file->piece_count; i++)
        bytes += file->pieces[i].bytes;
    return bytes;
}

/* A file while it is written. */
struct output {
    struct mu_store_output head;
    struct mu_store *store;
    struct mu_log *log;
    int64_t number;
    const struct mu_store_file *file;
    int fd;
};

static enum mu_status output_failed(const struct output *output, enum mu_error error)
{
    return put_failed(output->store, output->log, error, output->number, output->file->name,
        bytes_of(output->file));
}

static enum mu_status output_write(struct mu_store_output *head, const void *data, size_t bytes)
{
    const struct output *output = (struct output *)head;
    return mu_folder_write_all(output->fd, data, bytes) ? MU_OK : output_failed(output, MU_E0605);
}

/* Safe on the disk when this returns OK. */
static enum mu_status write_file(struct output *output)
{
    const struct mu_store_file *file = output->file;
    for (size_t i = 0; i < file->piece_count; i++)
        MU_TRY(output_write(&output->head, file->pieces[i].at, file->pieces[i].bytes));
    if (file->make)
        MU_TRY(file->make(file->owner, &output->head));
    /* Asked once: after a failure the kernel has forgotten the pages. */
    return fsync(output->fd) == 0 ? MU_OK : output_failed(output, MU_E0605);
}

static enum mu_status put_file(struct mu_store *store, struct mu_log *log, int folder,
    int64_t number, const struct mu_store_file *file)
{
    assert(mu_text_is_name(file->name));
    struct output output = {{output_write}, store, log, number, file, -1};
    output.fd =
        openat(folder, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (output.fd < 0)
        return output_failed(&output, MU_E0604);
    enum mu_status status = write_file(&output);
    if (close(output.fd) != 0 && status == MU_OK)
        status = output_failed(&output, MU_E0605);
    return status;
}

static enum mu_status put_aside(struct mu_store *store, struct mu_log *log, int root,
    const char *aside, int64_t number, const struct mu_store_file *files, size_t file_count)
{
    if (mkdirat(root, aside, 0700) != 0)
        return put_failed(store, log, MU_E0604, number, "", 0);
    int folder = open_folder_at(root, aside);
    if (folder < 0)
        return put_failed(store, log, MU_E0604, number, "", 0);
    enum mu_status status = MU_OK;
    for (size_t i = 0; i < file_count && status == MU_OK; i++)
        status = put_file(store, log, folder, number, &files[i]);
    if (status == MU_OK && fsync(folder) != 0)
        status = put_failed(store, log, MU_E0605, number, "", 0);
    (void)close(folder);
    return status;
}

/* Gives the folder written aside its name. What had the name before is left as `aside`. */
static bool take_name(int root, const char *aside, const char *name)
{
    if (renameat(root, aside, root, name) == 0)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return false;
    if (renameat2(root, aside, root, name, RENAME_EXCHANGE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    /* Readers take .old-<n> for <n> while there is none. */
    char old[ENTRY_NAME_BYTES];
    mu_format(old, sizeof(old), OLD_PREFIX "%s", name);
    if (renameat(root, name, root, old) != 0 || renameat(root, aside, root, name) != 0)
        return false;
    (void)renameat(root, old, root, aside);
    return true;
}

static enum mu_status put_in(struct mu_store *store, struct mu_log *log, int root, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    uint64_t random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    char aside[ENTRY_NAME_BYTES], name[ENTRY_NAME_BYTES];
    mu_format(aside, sizeof(aside), PUT_PREFIX "%016llx", (unsigned long long)random);
    mu_format(name, sizeof(name), "%lld", (long long)number);
    remove_leftovers(root);
    enum mu_status status = put_aside(store, log, root, aside, number, files, file_count);
    if (status == MU_OK && !take_name(root, aside, name))
        status = put_failed(store, log, MU_E0605, number, "", 0);
    else if (status == MU_OK && fsync(root) != 0) {
        status = put_failed(store, log, MU_E0605, number, "", 0);
        /* The name may not last: take the entry back, or put the one before it in its place. */
        if (renameat2(root, aside, root, name, RENAME_EXCHANGE) != 0)
            (void)renameat(root, name, root, aside);
    }
    (void)remove_folder(root, aside);
    return status;
}

static enum mu_status directory_put(struct mu_store *store, struct mu_log *log, int64_t number,
    const struct mu_store_file *files, size_t file_count)
{
    assert(number >= 0);
    MU_TRY(mu_folder_make(log, path_of(store)));
    int root = open(path_of(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return mu_fail(log, MU_E0604, NULL, "cannot open %s: %s", path_of(store), strerror(errno));
    enum mu_status status = put_in(store, log, root, number, files, file_count);
    (void)close(root);
    return status;
}

static bool is_entry(int root, const char *name, int64_t *ret_number)
{
    if (parse_number(name, ret_number))
        return is_folder_at(root, name);
    return starts_with(name, OLD_PREFIX) && parse_number(name + strlen(OLD_PREFIX), ret_number) &&
           !is_folder_at(root, name + strlen(OLD_PREFIX)) && is_folder_at(root, name);
}

/* Keeps the highest `most` numbers, ascending. */
static size_t keep_number(int64_t *numbers, size_t count, size_t most, int64_t number)
{
    size_t place = count;
    while (place > 0 && numbers[place - 1] > number)
        place--;
    if (count < most) {
        memmove(numbers + place + 1, numbers + place, (count - place) * sizeof(*numbers));
        numbers[place] = number;
        return count + 1;
    }
    if (place > 0) {
        memmove(numbers, numbers + 1, (place - 1) * sizeof(*numbers));
        numbers[place - 1] = number;
    }
    return count;
}

static size_t directory_list(struct mu_store *store, int64_t *ret_numbers, size_t most)
{
    DIR *names = opendir(path_of(store));
    if (!names)
        return 0;
    size_t found = 0, kept = 0;
    for (struct dirent *item; (item = readdir(names));) {
        int64_t number;
        if (!is_entry(dirfd(names), item->d_name, &number))
            continue;
        found++;
        kept = keep_number(ret_numbers, kept, most, number);
    }
    (void)closedir(names);
    return found;
}

static int open_entry(struct mu_store *store, int64_t number)
{
    int root = open(path_of(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    char name[ENTRY_NAME_BYTES];
    mu_format(name, sizeof(name), "%lld", (long long)number);
    int folder = open_folder_at(root, name);
    if (folder < 0 && errno == ENOENT) {
        mu_format(name, sizeof(name), OLD_PREFIX "%lld", (long long)number);
        folder = open_folder_at(root, name);
    }
    int error = errno;
    (void)close(root);
    errno = error;
    return folder;
}

static enum mu_status check_plain(
    struct mu_log *log, const char *where, int fd, size_t bytes_max, size_t *ret_bytes)
{
    struct stat stat_;
    if (fstat(fd, &stat_) != 0 || !S_ISREG(stat_.st_mode))
        return mu_fail(log, MU_E0601, NULL, "%s is not a plain file", where);
    if ((uint64_t)stat_.st_size > bytes_max)
        return mu_fail(log, MU_E0601, NULL, "%s has %lld bytes; at most %zu were expected", where,
            (long long)stat_.st_size, bytes_max);
    *ret_bytes = (size_t)stat_.st_size;
    return MU_OK;
}

static enum mu_status directory_open(struct mu_store *store, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes)
{
    assert(mu_text_is_name(name));
    char where[PATH_MAX + 64];
    snprintf(where, sizeof(where), "%s/%lld/%s", path_of(store), (long long)number, name);
    int folder = open_entry(store, number);
    /* O_NONBLOCK: a pipe with this name must not hold us. */
    int fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    if (folder >= 0)
        (void)close(folder);
    if (fd < 0 && error == ENOENT)
        return MU_NO_INPUT;
    if (fd < 0) {
        char word[MU_SHELL_WORD_BYTES], help[MU_SHELL_WORD_BYTES + 64];
        mu_format(help, sizeof(help), "`ls -ld %s` shows what it is and who may read it",
            mu_shell_word(word, where));
        return error == ELOOP
                   ? mu_fail(log, MU_E0601, NULL, "cannot open %s: it is a symbolic link", where)
                   : mu_fail(log, MU_E0605, help, "cannot open %s: %s", where, strerror(error));
    }
    enum mu_status status = check_plain(log, where, fd, bytes_max, ret_bytes);
    if (status == MU_OK)
        return mu_store_open_file(log, where, fd, ret_open);
    (void)close(fd);
    return status;
}

/* One byte more is taken and set to NUL, for texts. */
static enum mu_status directory_get(struct mu_store *store, struct mu_log *log, int64_t number,
    const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes)
{
    struct mu_store_open *file;
    MU_TRY(directory_open(store, log, number, name, bytes_max, &file, ret_bytes));
    char *data = malloc(*ret_bytes + 1);
    enum mu_status status =
        data ? file->ops->read(file, log, 0, data, *ret_bytes)
             : mu_fail(log, MU_E0801, NULL, "no memory for %zu bytes of %s/%lld/%s", *ret_bytes,
                   path_of(store), (long long)number, name);
    file->ops->close(file);
    if (status != MU_OK) {
        free(data);
        return status;
    }
    data[*ret_bytes] = '\0';
    *ret_data = data;
    return MU_OK;
}

static enum mu_status directory_scratch(
    struct mu_store *store, struct mu_log *log, struct mu_store_open **ret_open)
{
    MU_TRY(mu_folder_make(log, path_of(store)));
    int root = open(path_of(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return mu_fail(log, MU_E0604, NULL, "cannot open %s: %s", path_of(store), strerror(errno));
    enum mu_status status = mu_store_open_scratch(log, path_of(store), root, ret_open);
    (void)close(root);
    return status;
}

static enum mu_status directory_drop(struct mu_store *store, struct mu_log *log, int64_t number)
{
    int root = open(path_of(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return MU_OK;
    char name[ENTRY_NAME_BYTES], going[ENTRY_NAME_BYTES];
    mu_format(name, sizeof(name), "%lld", (long long)number);
    mu_format(going, sizeof(going), DROP_PREFIX "%lld", (long long)number);
    /* Out of sight first, so that nobody reads half an entry. */
    (void)remove_folder(root, going);
    bool good =
        renameat(root, name, root, going) == 0 ? remove_folder(root, going) : errno == ENOENT;
    int error = errno;
    (void)close(root);
    if (good)
        return MU_OK;
    return mu_fail(
        log, MU_E0605, NULL, "cannot remove %s/%s: %s", path_of(store), name, strerror(error));
}

static void directory_describe(struct mu_store *store, int64_t number, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s/%lld", path_of(store), (long long)number);
}

static void directory_close(struct mu_store *store)
{
    free(store);
}

static const struct mu_store_ops directory_ops = {
    .name = "directory",
    .put = directory_put,
    .list = directory_list,
    .get = directory_get,
    .open = directory_open,
    .scratch = directory_scratch,
    .drop = directory_drop,
    .describe = directory_describe,
    .close = directory_close,
};

/* An entry that was moved to another disk, say: it is there for whoever looks, and not for us. */
static void warn_of_links(struct mu_log *log, const char *path)
{
    DIR *names = opendir(path);
    if (!names)
        return;
    for (struct dirent *item; (item = readdir(names));) {
        int64_t number;
        if (parse_number(item->d_name, &number) && is_link_to_folder_at(dirfd(names), item->d_name))
            mu_say(log, MU_LEVEL_WARN,
                "%s/%s is a symbolic link and is passed over: put the checkpoint itself there, or "
                "let the whole folder be a link",
                path, item->d_name);
    }
    (void)closedir(names);
}

enum mu_status mu_store_directory_open(
    struct mu_log *log, const char *path, struct mu_store **ret_store)
{
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= PATH_MAX - 64)
        return mu_fail(log, MU_E0001, NULL, "the path of the checkpoints is %s",
            bytes == 0 ? "empty" : "too long");
    struct directory_store *self = malloc(sizeof(*self) + bytes + 1);
    if (!self)
        return mu_fail(log, MU_E0801, NULL, "no memory for the store %s", path);
    self->store.ops = &directory_ops;
    memcpy(self->path, path, bytes + 1);
    warn_of_links(log, path);
    *ret_store = &self->store;
    return MU_OK;
}
