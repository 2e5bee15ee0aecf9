/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/store_open.h"
#include "runtime/base/shell.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct open_file {
    struct mu_store_open head; /* first: what callers hold */
    int fd;
    char where[];
};

/* ---- what could not be written ---- */

enum mu_status mu_store_open_failed(struct mu_log *log, enum mu_error error, const char *path,
    const char *what, size_t bytes, int reason)
{
    char space[96] = "", word[MU_SHELL_WORD_BYTES], help[2 * MU_SHELL_WORD_BYTES + 48];
    struct statvfs fs;
    if ((reason == ENOSPC || reason == EDQUOT) && statvfs(path, &fs) == 0) {
        char needed[16], left[16];
        mu_text_bytes(needed, sizeof(needed), bytes);
        mu_text_bytes(left, sizeof(left), (uint64_t)fs.f_bavail * fs.f_frsize);
        mu_format(space, sizeof(space), " (needs %s, %s free)", needed, left);
    }
    mu_shell_word(word, path);
    mu_format(help, sizeof(help), "`df -h %s; df -i %s` shows what room is left", word, word);
    return mu_fail(
        log, error, help, "cannot write %s/%s: %s%s", path, what, strerror(reason), space);
}

/* ---- open files ---- */

static enum mu_status file_read(
    struct mu_store_open *head, struct mu_log *log, uint64_t at, void *data, size_t bytes)
{
    const struct open_file *file = (struct open_file *)head;
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(file->fd, (char *)data + done, bytes - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return mu_fail(log, MU_E0605, NULL, "cannot read %s: %s", file->where,
                got == 0 ? "it became shorter" : strerror(errno));
        done += (size_t)got;
    }
    return MU_OK;
}

static void file_close(struct mu_store_open *head)
{
    struct open_file *file = (struct open_file *)head;
    (void)close(file->fd);
    free(file);
}

/* `where` is the path of the store. */
static enum mu_status scratch_append(
    struct mu_store_open *head, struct mu_log *log, const void *data, size_t bytes)
{
    const struct open_file *file = (struct open_file *)head;
    if (mu_folder_write_all(file->fd, data, bytes))
        return MU_OK;
    return mu_store_open_failed(log, MU_E0605, file->where, ".scratch", bytes, errno);
}

static const struct mu_store_open_ops file_ops = {.read = file_read, .close = file_close};
static const struct mu_store_open_ops scratch_ops = {
    .read = file_read, .append = scratch_append, .close = file_close};

static enum mu_status open_with(struct mu_log *log, const struct mu_store_open_ops *ops,
    const char *where, int fd, struct mu_store_open **ret_open)
{
    size_t bytes = strlen(where) + 1;
    struct open_file *file = malloc(sizeof(*file) + bytes);
    if (!file) {
        (void)close(fd);
        return mu_fail(log, MU_E0801, NULL, "no memory to open %s", where);
    }
    file->head.ops = ops;
    file->fd = fd;
    memcpy(file->where, where, bytes);
    *ret_open = &file->head;
    return MU_OK;
}

enum mu_status mu_store_open_file(
    struct mu_log *log, const char *where, int fd, struct mu_store_open **ret_open)
{
    return open_with(log, &file_ops, where, fd, ret_open);
}

enum mu_status mu_store_open_scratch(
    struct mu_log *log, const char *path, int root, struct mu_store_open **ret_open)
{
    uint64_t random = 0;
    char name[40];
    (void)!getrandom(&random, sizeof(random), 0);
    mu_format(name, sizeof(name), MU_STORE_OPEN_SCRATCH "%016llx", (unsigned long long)random);
    int fd = openat(root, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return mu_store_open_failed(log, MU_E0604, path, ".scratch", 0, errno);
    if (unlinkat(root, name, 0) != 0) {
        int reason = errno;
        (void)close(fd);
        return mu_store_open_failed(log, MU_E0604, path, ".scratch", 0, reason);
    }
    return open_with(log, &scratch_ops, path, fd, ret_open);
}
