/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/folder.h"
#include "runtime/base/shell.h"
#include "runtime/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool mu_folder_is(const char *path)
{
    struct stat stat_;
    return stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

static enum mu_status cannot_make(struct mu_log *log, const char *path, int error)
{
    return mu_fail(log, MU_E0604, "choose another directory or change its permissions",
        "cannot create %s: %s", path, strerror(error));
}

enum mu_status mu_folder_make(struct mu_log *log, const char *path)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof(part))
        return cannot_make(log, path, bytes == 0 ? ENOENT : ENAMETOOLONG);
    memcpy(part, path, bytes + 1);
    for (size_t i = 1; i <= bytes; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && (errno != EEXIST || !mu_folder_is(part)))
            return cannot_make(log, part, errno == EEXIST ? ENOTDIR : errno);
        part[i] = end;
    }
    return MU_OK;
}

bool mu_folder_write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t written = write(fd, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        bytes -= (size_t)written;
    }
    return true;
}

bool mu_folder_append(int fd, const void *data, size_t bytes)
{
    struct stat before;
    if (fstat(fd, &before) != 0)
        return false;
    if (mu_folder_write_all(fd, data, bytes))
        return true;
    int error = errno;
    (void)!ftruncate(fd, before.st_size);
    errno = error;
    return false;
}

/* The folder of `path`, open, and the name in it. */
static int open_parent(const char *path, const char **ret_name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *ret_name = slash ? slash + 1 : path;
    size_t bytes = slash ? (size_t)(slash - path) : 0;
    if (bytes >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, path, bytes);
    parent[bytes] = '\0';
    const char *folder = !slash ? "." : bytes == 0 ? "/" : parent;
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool write_and_close(int fd, const void *data, size_t bytes)
{
    bool good = mu_folder_write_all(fd, data, bytes) && fsync(fd) == 0;
    int error = errno;
    /* A failed fsync is never asked again: the kernel has forgotten the pages. */
    if (close(fd) != 0 && good)
        return false;
    errno = error;
    return good;
}

/* Removes what was written aside, keeping the reason. */
static enum mu_status give_up(
    struct mu_log *log, enum mu_error error, const char *path, int folder, const char *aside)
{
    int reason = errno;
    if (aside)
        (void)unlinkat(folder, aside, 0);
    (void)close(folder);
    char there[PATH_MAX], word[MU_SHELL_WORD_BYTES], help[2 * MU_SHELL_WORD_BYTES + 48];
    const char *slash = strrchr(path, '/');
    snprintf(there, sizeof(there), "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
        slash ? path : ".");
    mu_shell_word(word, there);
    mu_format(help, sizeof(help), "`df -h %s; df -i %s` shows what room is left", word, word);
    return mu_fail(log, error, help, "cannot write %s: %s", path, strerror(reason));
}

/* An empty file in the folder, under a name that is not the last; -1 with errno. */
static int open_aside(int folder, const char *name, char aside[NAME_MAX + 1])
{
    if (strlen(name) + 6 > NAME_MAX + 1) {
        errno = ENAMETOOLONG;
        return -1;
    }
    mu_format(aside, NAME_MAX + 1, ".%s.new", name);
    (void)unlinkat(folder, aside, 0); /* left by a crash */
    return openat(folder, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

enum mu_status mu_folder_write(struct mu_log *log, const char *path, const void *data, size_t bytes)
{
    const char *name;
    int folder = open_parent(path, &name);
    if (folder < 0)
        return mu_fail(log, MU_E0604, NULL, "cannot write %s: %s", path, strerror(errno));
    char aside[NAME_MAX + 1];
    int fd = open_aside(folder, name, aside);
    if (fd < 0)
        return give_up(log, MU_E0604, path, folder, NULL);
    if (!write_and_close(fd, data, bytes) || renameat(folder, aside, folder, name) != 0 ||
        fsync(folder) != 0)
        return give_up(log, MU_E0605, path, folder, aside);
    (void)close(folder);
    return MU_OK;
}

enum mu_status mu_folder_remove(struct mu_log *log, const char *path)
{
    const char *name;
    int folder = open_parent(path, &name);
    bool good = folder >= 0 && unlinkat(folder, name, 0) == 0 && fsync(folder) == 0;
    int reason = errno;
    if (folder >= 0)
        (void)close(folder);
    if (good || reason == ENOENT)
        return MU_OK;
    return mu_fail(log, MU_E0605, NULL, "cannot remove %s: %s", path, strerror(reason));
}
