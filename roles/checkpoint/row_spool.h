/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_ROW_SPOOL_H
#define MU_ROLES_ROW_SPOOL_H

#include "roles/checkpoint/row_runs.h"
#include "roles/checkpoint/save_trouble.h"
#include "runtime/base/world.h"

/*
 * Between the thread on which the embedding rows of servers come, which must not wait for a disk,
 * and the saver's writer, which may: two runs in memory that go round.
 *
 *   communication:  begin -> put, put, put ...            (a run is full: the other one is filled)
 *   writer:                   work: sorts a full run and appends it ...  close, then merges them
 *
 * If both are full, put takes nothing: what comes waits where it is, at last in the servers. A disk
 * that takes nothing for `patience_ns` is given up: put takes all, and keeps nothing, and close
 * says why. `begin` forgets what came before, at any moment.
 */
struct mu_row_spool {
    struct mu_world *world;
    struct mu_monitor *monitor; /* the saver's: its writer waits for it */
    struct mu_save_trouble *trouble;
    int64_t patience_ns;
    size_t run_bytes;

    /* With the monitor. */
    struct mu_row_run run[2];
    enum { MU_RUN_FREE, MU_RUN_FILLING, MU_RUN_FULL, MU_RUN_WRITTEN } state[2];
    int64_t waits_since_ns; /* for the disk; -1: it does not */
    bool begins, drops; /* the writer is to forget what it has, for a new snapshot or for none */
    bool is_lost;       /* no row of this snapshot is kept any more */
    bool has_no_memory, is_given_up;

    /* The writer's. */
    struct mu_row_runs runs;
    enum mu_status status; /* of this snapshot: after a failure nothing more is written */
};

void mu_row_spool_init(struct mu_row_spool *spool, struct mu_world *world,
    struct mu_monitor *monitor, struct mu_save_trouble *trouble, size_t width, int slot_count);
void mu_row_spool_finish(struct mu_row_spool *spool); /* the writer has ended; takes a zeroed one */

/* ---- the thread on which rows come ---- */

void mu_row_spool_begin(struct mu_row_spool *spool, int64_t patience_ns);
/* Fits struct mu_row_sink; `count` rows are no more than a run holds. */
bool mu_row_spool_put(void *spool, const uint64_t *ids, const float *rows, size_t count);

/* ---- any thread, with the monitor ---- */

void mu_row_spool_drop(struct mu_row_spool *spool); /* there will be no close */
bool mu_row_spool_has_work(const struct mu_row_spool *spool);

/* ---- the writer ---- */

/* With the monitor, which it leaves while it works. Says to spool->trouble why it cannot. */
void mu_row_spool_work(struct mu_row_spool *spool);
/* All rows have come: spool->runs has them, until mu_row_spool_end, and none is in memory. How it
 * went; has been said. */
enum mu_status mu_row_spool_close(struct mu_row_spool *spool);
/* They are saved or not: the disk has its room back. */
void mu_row_spool_end(struct mu_row_spool *spool);

#endif
