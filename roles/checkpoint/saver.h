/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_SAVER_H
#define MU_ROLES_SAVER_H

#include "roles/checkpoint/checkpoint.h"
#include "roles/checkpoint/go_on.h"
#include "roles/checkpoint/row_spool.h"
#include "roles/checkpoint/save_trouble.h"
#include "roles/checkpoint/saved_version.h"
#include "runtime/base/world.h"
#include "runtime/tensor/arena.h"

/*
 * Writes checkpoints behind the training step: one buffer for a whole state, one thread that writes
 * it. While it writes, the next checkpoint is not taken: they are skipped, never queued. The memory
 * of a state, embedding rows included, is needed twice; but not that of rows which servers keep:
 * these go to the disk as they come (row_spool.h), and are merged from there.
 *
 *   training: begin -> fills vectors and snapshot -> submit            drain, at the end
 *   writer:            rows as they come             save, keep the newest
 */
struct mu_saver {
    struct mu_world *world;
    struct mu_store *store;
    struct mu_monitor *monitor;
    struct mu_thread *thread;
    int keep;
    enum { MU_SAVER_IDLE, MU_SAVER_FILLING, MU_SAVER_FULL } state;
    bool leaving;
    enum mu_status status;          /* of the last save */
    bool is_last;                   /* what is begun now is saved before the run ends */
    struct mu_go_on *go_on;         /* is told what is saved; set after start; NULL: nobody */
    struct mu_saved_version *saved; /* gets the step of what is saved; the same */
    struct mu_save_trouble trouble; /* the writer's while it writes, then the training thread's */

    /* To be filled between begin and submit. */
    struct mu_arena vectors[1 + MU_SLOTS_MAX]; /* parameters, slots */
    struct mu_saved_rows rows;   /* of an embedding table, if there is one here; or ... */
    struct mu_row_spool spool;   /* ... of one that servers keep */
    struct mu_arena residuals;   /* and what a compressor keeps; may be empty */
    struct mu_snapshot snapshot; /* its vectors point to the above */
    struct mu_position positions[MU_POSITIONS_MAX];
    int64_t *memory;            /* of the positions */
    uint32_t parameters_crc32c; /* of the last that was saved with spooled rows, by its manifest */
};

/* `fixed` has what is the same in all snapshots. NO_MEMORY, UNAVAILABLE. */
enum mu_status mu_saver_start(struct mu_saver *saver, struct mu_world *world, struct mu_log *log,
    const struct mu_snapshot *fixed, int keep, size_t position_numbers);
/* Waits for the writer and ends it; takes a zeroed one. */
void mu_saver_stop(struct mu_saver *saver);
/* Is the buffer free? Then it is the caller's until submit. `wait`: until it is, for the last of
 * the run. */
bool mu_saver_begin(struct mu_saver *saver, bool wait);
/* Between start and the first begin: snapshots have `rows` too, to be filled like the vectors. */
void mu_saver_expect_rows(struct mu_saver *saver, size_t width);
/* The same of rows that servers keep: they go to saver->spool. */
void mu_saver_expect_spooled_rows(struct mu_saver *saver, size_t width);
void mu_saver_submit(struct mu_saver *saver);
void mu_saver_drop(struct mu_saver *saver); /* instead of submit */
/* Waits until nothing is being written; how the last save ended. */
enum mu_status mu_saver_drain(struct mu_saver *saver);
/* The same at the end of the run: that the last save failed is said as its error, with how to go
 * on. */
enum mu_status mu_saver_end(struct mu_saver *saver);

#endif
