/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/run_lock.h"
#include "runtime/base/shell.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOLDER_BYTES 192

struct mu_run_lock {
    int fd;
};

/* The whole file. Of an open file, as flock(2) has it and not of a process: but who has it can be
 * asked for, too, by one who takes nothing that another would find taken. */
static const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

/* What the holder wrote, as far as it can be printed. */
static void read_holder(int fd, char holder[HOLDER_BYTES])
{
    ssize_t bytes = pread(fd, holder, HOLDER_BYTES - 1, 0);
    size_t kept = 0;
    for (ssize_t i = 0; i < bytes && holder[i] != '\n'; i++)
        if (holder[i] >= ' ' && holder[i] < 0x7f)
            holder[kept++] = holder[i];
    holder[kept] = '\0';
    if (kept == 0)
        mu_format(holder, HOLDER_BYTES, "another process");
}

static enum mu_status refuse(struct mu_log *log, const char *directory, int fd)
{
    char holder[HOLDER_BYTES], pid[16] = "PID", word[MU_SHELL_WORD_BYTES];
    struct mu_text help;
    read_holder(fd, holder);
    const char *process = strstr(holder, "pid ");
    if (process)
        (void)sscanf(process, "pid %15[0-9]", pid);
    mu_text_init(&help);
    mu_text_add(&help,
        "`muster status %s` shows that run, `kill -TERM %s` on its host ends it; --out DIR is for "
        "another one",
        mu_shell_word(word, directory), pid);
    enum mu_status status = mu_fail(log, MU_E0607, help.data, "%s%s%s is locked by %s", log->task,
        log->task[0] ? " cannot begin: " : "", directory, holder);
    mu_text_finish(&help);
    return status;
}

static enum mu_status take(
    struct mu_log *log, const char *directory, const char *host, int process, int fd)
{
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            return refuse(log, directory, fd);
        mu_say(log, MU_LEVEL_WARN, "%s cannot be locked on this file system: %s", directory,
            strerror(errno));
    }
    char holder[HOLDER_BYTES], since[40];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    mu_text_time(since, sizeof(since), now.tv_sec * 1000000000LL + now.tv_nsec);
    int bytes = snprintf(holder, sizeof(holder), "%s%spid %d on %.80s, since %s\n", log->task,
        log->task[0] ? ", " : "", process, host, since);
    if (ftruncate(fd, 0) != 0 || !mu_folder_write_all(fd, holder, (size_t)bytes))
        return mu_fail(
            log, MU_E0604, NULL, "cannot write %s/.lock: %s", directory, strerror(errno));
    return MU_OK;
}

enum mu_status mu_run_lock_open(struct mu_log *log, const char *directory, const char *host,
    int process, struct mu_run_lock **ret_lock)
{
    MU_TRY(mu_folder_make(log, directory));
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd =
        folder < 0 ? -1 : openat(folder, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error = errno;
    if (folder >= 0)
        (void)close(folder);
    if (fd < 0)
        return mu_fail(log, MU_E0604, "choose another directory or change its permissions",
            "cannot create %s/.lock: %s", directory, strerror(error));
    struct mu_run_lock *lock = malloc(sizeof(*lock));
    enum mu_status status = lock ? take(log, directory, host, process, fd) : MU_NO_MEMORY;
    if (status != MU_OK) {
        (void)close(fd);
        free(lock);
        return status;
    }
    lock->fd = fd;
    *ret_lock = lock;
    return MU_OK;
}

enum mu_status mu_run_lock_check(struct mu_log *log, const char *directory)
{
    struct mu_text path;
    mu_text_init(&path);
    mu_text_add(&path, "%s/.lock", directory);
    int fd = path.failed ? -1 : open(path.data, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    mu_text_finish(&path);
    if (fd < 0)
        return MU_OK; /* nobody has ever had it, or whoever begins says why it cannot */
    struct flock found = whole;
    bool is_held = fcntl(fd, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK;
    enum mu_status status = is_held ? refuse(log, directory, fd) : MU_OK;
    (void)close(fd);
    return status;
}

void mu_run_lock_close(struct mu_run_lock *lock)
{
    if (!lock)
        return;
    /* The file stays: unlinking it would let two runs hold locks on two files of one name. */
    (void)!ftruncate(lock->fd, 0);
    (void)close(lock->fd);
    free(lock);
}
