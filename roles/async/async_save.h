/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_ASYNC_SAVE_H
#define MU_ROLES_ASYNC_SAVE_H

#include "roles/replica.h"

/*
 * Checkpoints of a run whose state is on parameter servers, on the leader. A snapshot of all
 * servers comes into the saver's buffer while the replica trains on:
 *
 *   start ----> servers send their state ----> end: it has come, and the saver's thread writes it
 *
 * All on the training thread, which gives the communication thread its commands. Each call fails
 * like a snapshot, and has blamed the server; without a saver, or with nothing on its way, there is
 * nothing to do.
 */
struct mu_async_save {
    struct mu_replica *replica;
    bool under_way;  /* a snapshot */
    int64_t *judged; /* (replica count), by this snapshot */
};

enum mu_status mu_async_save_init(struct mu_async_save *save, struct mu_replica *replica);
/* Takes a zeroed one. What is under way is dropped: the replica has let its links go. */
void mu_async_save_finish(struct mu_async_save *save);

/* Asks for a snapshot, unless one is under way or the saver still writes. */
enum mu_status mu_async_save_start(struct mu_async_save *save);
/* If the snapshot has come, hands it to the writer. */
enum mu_status mu_async_save_end(struct mu_async_save *save);
/* When everybody has finished: one more, waited for until it is written; the replica is at its
 * step. */
enum mu_status mu_async_save_last(struct mu_async_save *save);

#endif
