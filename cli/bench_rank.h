/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_BENCH_RANK_H
#define MU_CLI_BENCH_RANK_H

#include "cli/commands.h"
#include "roles/library/group_open.h"

/*
 * One rank of `muster bench allreduce`: a process that does what it is told over a socket, and
 * sleeps in between, so that it does not disturb whoever is measured by turns with it. The peers in
 * bench/ speak the same lines:
 *
 *   to the lead                      from the lead
 *   rank R                           size BYTES         allocate, verify one operation
 *   ready ALGORITHM                  batch COUNT        time so many operations
 *   took NANOSECONDS                 explain            print the choices (rank 0)
 *   failed WHY                       (end of file)      the end
 *   cannot WHY                       the algorithm that was forced is none for this
 *
 * What is summed grows by the number of ranks with each operation. So a batch is cut into runs that
 * are short enough for it to stay finite, and before each run, outside the timed part, the vector
 * is filled anew and the ranks meet.
 */
#define MU_BENCH_LINE_MAX 512

/* Serves until the lead goes. Returns the exit code of the process. `place` NULL: MPI's. */
int mu_bench_rank_serve(struct mu_log *log, const struct mu_cmd_bench_allreduce_options *options,
    const struct mu_group_place *place, int fd);

#endif
