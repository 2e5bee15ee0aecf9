/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WATCH_EVENT_FILE_H
#define MU_WATCH_EVENT_FILE_H

#include "runtime/base/log.h"
#include <stddef.h>
#include <stdint.h>

/* An event file that TensorBoard shows: TFRecords of Event messages; see docs/EVENT_FILES.md.
 * Appending allocates nothing once the largest record was written; each append is one write(2), so
 * a process killed at any time leaves whole records and at most one cut one, which readers skip. */
struct mu_event_file;

struct mu_event_file_options {
    const char *directory; /* made if it is not there */
    const char *host;
    int process;
    int64_t wall_ns; /* of the start: names the file */
    /* >= 0: the step that the run goes on from. TensorBoard is made to purge what older files say
     * of later ones. -1: nothing is purged. */
    int64_t resume_step;
};
/* CANNOT_CREATE. */
enum mu_status mu_event_file_open(struct mu_log *log, const struct mu_event_file_options *options,
    struct mu_event_file **ret_file);
/* The same later on: what this file and older ones say of steps after `step` is void. */
void mu_event_file_go_on(struct mu_event_file *file, int64_t wall_ns, int64_t step);
/* TF2 scalar: tensor value with the "scalars" plug-in. A failed write is said once (warning) and
 * counted; training goes on. */
void mu_event_file_scalar(
    struct mu_event_file *file, int64_t wall_ns, int64_t step, const char *tag, float value);
/* TF2 histogram of integer counts: bucket i is [edge[i], edge[i+1]) with count[i]. */
void mu_event_file_histogram(struct mu_event_file *file, int64_t wall_ns, int64_t step,
    const char *tag, const double *edges, const double *counts, size_t bucket_count);
void mu_event_file_close(struct mu_event_file *file); /* takes NULL */

#endif
