/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/kept_file.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beside the file, with a dot before and `end` after its name; false: too long. */
static bool name_beside(const char *path, const char *end, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strlen(path) + strlen(end) + 2 > PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    mu_format(out, PATH_MAX, "%.*s.%s%s", (int)(name - path), path, name, end);
    return true;
}

/* Blocks for so many bytes, without changing what the file says. A file system that cannot promise
 * them is asked for nothing. */
static bool hold_room(int fd, size_t room_bytes)
{
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)room_bytes) == 0)
        return true;
    return errno == EOPNOTSUPP || errno == ENOSYS;
}

static bool close_keeping_reason(int fd, bool good)
{
    int error = errno;
    if (close(fd) != 0 && good)
        return false;
    errno = error;
    return good;
}

/* The second, if there is none: as long as there is room, it holds some. */
static void make_second(const char *second, size_t room_bytes)
{
    int fd = openat(AT_FDCWD, second, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && !close_keeping_reason(fd, hold_room(fd, room_bytes)))
        (void)unlinkat(AT_FDCWD, second, 0);
}

static bool write_aside(const char *path, const void *data, size_t bytes, size_t room_bytes)
{
    char aside[PATH_MAX];
    if (!name_beside(path, ".new", aside))
        return false;
    (void)unlinkat(AT_FDCWD, aside, 0); /* left by a crash */
    int fd = openat(AT_FDCWD, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = close_keeping_reason(
                    fd, hold_room(fd, room_bytes) && mu_folder_write_all(fd, data, bytes)) &&
                renameat(AT_FDCWD, aside, AT_FDCWD, path) == 0;
    int error = errno;
    if (!good)
        (void)unlinkat(AT_FDCWD, aside, 0);
    errno = error;
    return good;
}

/* Shorter than what it said: cut, it would lose blocks, so spaces cover the rest. */
static bool cover(int fd, size_t bytes)
{
    char spaces[512];
    struct stat stat_;
    if (fstat(fd, &stat_) != 0)
        return false;
    memset(spaces, ' ', sizeof(spaces));
    for (size_t left = bytes < (size_t)stat_.st_size ? (size_t)stat_.st_size - bytes : 0;
         left > 0;) {
        size_t part = left < sizeof(spaces) ? left : sizeof(spaces);
        if (!mu_folder_write_all(fd, spaces, part))
            return false;
        left -= part;
    }
    return true;
}

static bool write_into_second(const char *path, const char *second, const void *data, size_t bytes)
{
    int fd = openat(AT_FDCWD, second, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (!close_keeping_reason(fd, mu_folder_write_all(fd, data, bytes) && cover(fd, bytes)))
        return false;
    return renameat2(AT_FDCWD, second, AT_FDCWD, path, RENAME_EXCHANGE) == 0 ||
           renameat(AT_FDCWD, second, AT_FDCWD, path) == 0;
}

bool mu_kept_file_write(const char *path, const void *data, size_t bytes, size_t room_bytes)
{
    char second[PATH_MAX];
    if (!name_beside(path, ".kept", second))
        return false;
    if (write_aside(path, data, bytes, room_bytes)) {
        make_second(second, room_bytes);
        return true;
    }
    int error = errno;
    bool is_full = error == ENOSPC || error == EDQUOT;
    bool good = is_full && write_into_second(path, second, data, bytes);
    errno = error; /* why the first way failed is what can be mended */
    return good;
}

void mu_kept_file_finish(const char *path)
{
    char second[PATH_MAX];
    if (name_beside(path, ".kept", second))
        (void)unlinkat(AT_FDCWD, second, 0);
}
