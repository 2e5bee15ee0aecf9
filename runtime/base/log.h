/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_LOG_H
#define MU_BASE_LOG_H

#include "runtime/base/errors.h"
#include <stdatomic.h>
#include <stddef.h>

/*
 * What one task says. Every function that can fail for a reason worth telling takes the task's log:
 * the first to know the reason says it, once, and returns a status; callers pass the status on.
 * Threads of a task share its log; a line is written whole.
 */
enum mu_level { MU_LEVEL_ERROR, MU_LEVEL_WARN, MU_LEVEL_INFO, MU_LEVEL_DEBUG };

#define MU_LOG_TEXT_MAX 4096
#define MU_TASK_NAME_MAX 24

struct mu_log {
    /* Takes one message: `text` has no trailing newline but may have several lines (an error with
     * its place and its help). Must not fail, must be safe from several threads. */
    void (*write)(struct mu_log *log, enum mu_level level, const char *text);
    void *owner;
    /* What is said in place of this help, to those who have no commands of ours to type. NULL: it
     * is said as it is. */
    const char *(*help)(enum mu_error error, const char *help);
    enum mu_level level;         /* messages above are not written */
    char task[MU_TASK_NAME_MAX]; /* "worker/1"; "" before it is known */
    atomic_int first_taken;      /* the first error is kept: it is the cause, the rest follow */
    enum mu_status first_status;
    char first_text[512]; /* its first line, without "error[E0104]: " */
    int first_number;     /* 104; 0: none yet */
    char first_help[1792];
};

/* Writes to stderr, plain, as `muster spec check` wants it. */
void mu_log_init_stderr(struct mu_log *log, enum mu_level level);

__attribute__((format(printf, 3, 4))) void mu_say(
    struct mu_log *log, enum mu_level level, const char *format, ...);

/*
 * error[E0104]: unknown task type `workers`
 *   = help: did you mean `worker`?
 *
 * Returns the status of the error's row. `help` is the next thing to type or look at; NULL says
 * what helps against this error in general (mu_error_remedy). `log` may not be NULL.
 */
__attribute__((format(printf, 4, 5))) enum mu_status mu_fail(
    struct mu_log *log, enum mu_error error, const char *help, const char *format, ...);

/* Where in a text the reason lies: the line is shown with a caret under it. */
struct mu_place {
    const char *source; /* "$TF_CONFIG", "cluster.json" */
    const char *text;   /* the whole text */
    size_t bytes;
    size_t offset, width; /* of what is wrong; width 0 draws one caret */
};

/*
 * error[E0104]: unknown task type `workers`
 *   --> $TF_CONFIG:1:13
 *    |
 *  1 | {"cluster":{"workers":["10.0.0.1:2222","10.0.0.2:2222"]}, ...
 *    |             ^^^^^^^^^ expected `chief`, `worker`, `ps` or `evaluator`
 *    = help: did you mean `worker`?
 *
 * `expected` may be NULL, and `help` as above. Long lines are cut around the caret; bytes that are
 * not printable ASCII or valid UTF-8 are shown as `?`.
 */
__attribute__((format(printf, 6, 7))) enum mu_status mu_fail_at(struct mu_log *log,
    enum mu_error error, const struct mu_place *place, const char *expected, const char *help,
    const char *format, ...);

#endif
