/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_TASK_LOG_H
#define MU_ROLES_TASK_LOG_H

#include "runtime/base/log.h"
#include "runtime/base/world.h"
#include "watch/progress.h"

#define MU_TASK_LOG_HELD_MAX 4096

/*
 * The log of a task in the real world: what is said goes to the terminal in plain words (errors and
 * warnings to stderr) and to logs/<task>.log with time, level and task before it.
 */
struct mu_task_log {
    struct mu_log log;
    struct mu_world *world;
    int fd;                          /* of the file, -1: none yet */
    char held[MU_TASK_LOG_HELD_MAX]; /* the lines for it, until there is one */
    bool prefixed; /* lines on the terminal begin with the task: many write there */
    const struct mu_progress_display *display; /* a line on the terminal to be cleared; or NULL */
};

void mu_task_log_init(struct mu_task_log *task_log, struct mu_world *world, enum mu_level level);
/* From now on also to this file, appended. CANNOT_CREATE. */
enum mu_status mu_task_log_open(struct mu_task_log *task_log, const char *path);
/* A line for the file alone. */
__attribute__((format(printf, 2, 3))) void mu_task_log_note(
    struct mu_task_log *task_log, const char *format, ...);
void mu_task_log_close(struct mu_task_log *task_log);

#endif
