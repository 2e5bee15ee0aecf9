/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WATCH_PROGRESS_H
#define MU_WATCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The state of a run as one line, for a terminal, a log, systemd's STATUS and a launcher. */
struct mu_progress {
    int64_t epoch, epochs; /* epoch counts from 1 here; epochs 0: they are not what ends the run */
    int64_t step, steps_total;
    double loss, accuracy; /* accuracy in 0..1; NaN: not known yet */
    double samples_per_second;
    double seconds_left; /* NaN: not known yet */
    int alive, tasks;
    const char *missing; /* "worker/2" or NULL: who of the tasks is not alive */
};

/*
 * epoch 2/10 ████▌ 43 %  step 812/1875  loss 0.0312  acc 99.1 %  11.2k/s  1m12s left  4/4 alive
 *
 * `columns` cuts the bar and then the fields that matter least; ASCII only if !utf8.
 */
void mu_progress_format(
    const struct mu_progress *progress, int columns, bool utf8, char *out, size_t bytes);

/* Shows it: on a terminal one line that is overwritten (at most 10 times a second), elsewhere a
 * line every ten seconds. */
struct mu_progress_display {
    int fd;
    bool terminal, launched, utf8, drawn;
    bool enabled;
    int64_t next_ns;
};
/* Looks at isatty, TERM and the locale; no colour is used. `launched` means that a launcher on a
 * terminal reads this pipe: then lines for overwriting end with \r, for it to show. */
void mu_progress_display_init(
    struct mu_progress_display *display, int fd, bool launched, bool enabled);
void mu_progress_show(struct mu_progress_display *display, const struct mu_progress *progress,
    int64_t now_ns, bool force);
/* Clears the line so that something else can be printed. */
void mu_progress_clear(struct mu_progress_display *display);

#endif
