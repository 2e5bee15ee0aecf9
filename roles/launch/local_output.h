/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_LOCAL_OUTPUT_H
#define MU_ROLES_LOCAL_OUTPUT_H

#include "roles/launch/local_child.h"
#include "runtime/base/text.h"

#define MU_LOCAL_ERRORS_MAX 16 /* that are remembered: the last ones */

/* What the tasks of a local cluster say, as one stream: whole lines with the task's name before
 * them and, on a terminal, the leader's progress as one line at the bottom. When a task is lost, or
 * back, all others say so: the first does here, and what the others say of it is in their logs. */
struct mu_local_output {
    int fd;
    bool terminal, colour;
    int columns;  /* of the terminal; 0: not one */
    bool drawn;   /* the progress line is on the screen */
    bool changed; /* and it has become another */
    struct mu_text pending;
    char progress[512];
    struct {
        int index; /* of who said it first */
        char text[512];
    } errors[MU_LOCAL_ERRORS_MAX];
    int error_count;
};

/* Looks at isatty, NO_COLOR and TERM. */
void mu_local_output_init(struct mu_local_output *output, int fd);
void mu_local_output_finish(struct mu_local_output *output);

/* Reads what the pipe of child number `index` holds; false once it is at its end. */
bool mu_local_output_take(
    struct mu_local_output *output, struct mu_local_child *child, int index, bool is_leader);
/* The child has ended: what is left of its last line is a line. */
void mu_local_output_end(struct mu_local_output *output, struct mu_local_child *child, int index);
/* A line of the launcher's own. */
__attribute__((format(printf, 2, 3))) void mu_local_output_say(
    struct mu_local_output *output, const char *format, ...);
/* Writes what was taken and said since, then the progress line again. */
void mu_local_output_flush(struct mu_local_output *output);
/* Takes the progress line off the screen for good. */
void mu_local_output_clear(struct mu_local_output *output);

#endif
