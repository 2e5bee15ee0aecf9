/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/task_log.h"
#include "runtime/base/console.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *level_name(enum mu_level level)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    return names[level];
}

/* One write a message, so that lines of two threads do not mix. */
static void write_out(int fd, const char *text, size_t bytes)
{
    ssize_t written = write(fd, text, bytes);
    (void)written; /* a disk that is full must not end the training */
}

static void write_file(struct mu_task_log *task_log, enum mu_level level, const char *text)
{
    char line[MU_LOG_TEXT_MAX + 128], time[40];
    size_t most = sizeof(line) - 1;
    mu_text_time(time, sizeof(time), task_log->world->ops->wall_ns(task_log->world));
    int bytes = snprintf(
        line, sizeof(line), "%s %s %s %s\n", time, level_name(level), task_log->log.task, text);
    size_t used = strlen(task_log->held);
    if (task_log->fd >= 0)
        write_out(task_log->fd, line, (size_t)bytes < most ? (size_t)bytes : most);
    else if (used + (size_t)bytes < sizeof(task_log->held))
        memcpy(task_log->held + used, line, (size_t)bytes + 1);
}

static void write_line(struct mu_log *log, enum mu_level level, const char *text)
{
    struct mu_task_log *task_log = log->owner;
    char line[MU_LOG_TEXT_MAX + 128];
    bool clear = task_log->display && task_log->display->terminal;
    char task[MU_TASK_NAME_MAX + 4] = "";
    if (task_log->prefixed)
        snprintf(task, sizeof(task), "[%s] ", log->task);
    int bytes = snprintf(line, sizeof(line), "%s%s%s%s\n", clear ? "\r\033[K" : "", task,
        level == MU_LEVEL_WARN ? "warning: " : "", text);
    size_t most = sizeof(line) - 1;
    write_file(task_log, level, text); /* first: the console may keep us for a moment */
    mu_console_write(level <= MU_LEVEL_WARN ? STDERR_FILENO : STDOUT_FILENO, MU_CONSOLE_LINES, line,
        (size_t)bytes < most ? (size_t)bytes : most);
}

void mu_task_log_note(struct mu_task_log *task_log, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    write_file(task_log, MU_LEVEL_INFO, text);
}

void mu_task_log_init(struct mu_task_log *task_log, struct mu_world *world, enum mu_level level)
{
    memset(task_log, 0, sizeof(*task_log));
    task_log->log.write = write_line;
    task_log->log.owner = task_log;
    task_log->log.level = level;
    task_log->world = world;
    task_log->fd = -1;
}

enum mu_status mu_task_log_open(struct mu_task_log *task_log, const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    task_log->fd = open(path, flags, 0600);
    if (task_log->fd >= 0) {
        write_out(task_log->fd, task_log->held, strlen(task_log->held));
        task_log->held[0] = '\0';
        return MU_OK;
    }
    return mu_fail(
        &task_log->log, MU_E0604, NULL, "%s cannot be opened: %s", path, strerror(errno));
}

void mu_task_log_close(struct mu_task_log *task_log)
{
    if (task_log->fd >= 0)
        close(task_log->fd);
    task_log->fd = -1;
}
