/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_CONSOLE_H
#define MU_BASE_CONSOLE_H

#include <stddef.h>

/*
 * stdout and stderr of a process that has more to do than to wait for who reads them: a terminal
 * that ^S has stopped, a pipe to somebody who sleeps. Between open and close no write waits longer
 * than MU_CONSOLE_PATIENCE_MS. What finds no room is dropped, a line whole or not at all, and as
 * soon as there is room again a line says how many are missing:
 *
 *     [14 lines were not shown here; runs/demo/logs/chief-0.log has them]
 *
 * The flags of the descriptors stay as they are, for they are shared with the shell. Before open,
 * after close and for other descriptors a write waits as any does. From any thread.
 */
#define MU_CONSOLE_PATIENCE_MS 200    /* in a row; in the long run a fiftieth of the time */
#define MU_CONSOLE_LAST_WORDS_MS 1000 /* in all, for what is said at the end */

enum mu_console_kind {
    MU_CONSOLE_LINES,
    MU_CONSOLE_PROGRESS, /* overtaken by the next: it waits for nothing and nobody misses it */
};

void mu_console_open(void);
/* Where to look for what was not shown: "runs/demo/logs/chief-0.log has them". */
void mu_console_kept(const char *where);
void mu_console_write(int fd, enum mu_console_kind kind, const char *text, size_t bytes);
/* The same from a signal's handler: shown at once or never. */
void mu_console_write_now(int fd, const char *text, size_t bytes);
/* Little more will be said: from here on there is some patience for it, whatever was before. */
void mu_console_last_words(void);
/* Waits a little for who has not read the last of it. Once it is closed, nothing. */
void mu_console_close(void);

#endif
