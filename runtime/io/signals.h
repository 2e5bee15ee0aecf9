/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_SIGNALS_H
#define MU_IO_SIGNALS_H

#include <stdbool.h>

/* SIGTERM and SIGINT ask for a stop with the state saved; a second one ends the process at once
 * with 128 + its number. */
void mu_signals_watch(void);
/* Until the run has begun there is nothing to save, and who asks is told so; unless `quiet`: a
 * launcher that stops its tasks because the run was refused has said more than that. */
void mu_signals_before(bool quiet);
void mu_signals_begun(bool saves); /* false: the run goes on without this task */
void mu_signals_ending(void);      /* the task ends already: nobody is told anything */
/* The signal that asked, or 0. From any thread. */
int mu_signals_stop(void);

/* Ends the process as the signal that asked would have: 128 + its number. */
_Noreturn void mu_signals_die(void);

#endif
