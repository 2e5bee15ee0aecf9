/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_KEPT_ROWS_H
#define MU_ROLES_KEPT_ROWS_H

#include "ps/snapshot.h"
#include "roles/checkpoint/saved_rows.h"

/*
 * The embedding rows that parameter servers keep, on the leader, on their way between the servers
 * and a checkpoint:
 *
 *     servers --- snapshot, a piece at a time, in no order ---> saved rows, which the writer sorts
 *     checkpoint --- row by row, in the order of ids ---> a few here ---> servers
 */
struct mu_replica;

/* ---- from servers; on the communication thread ---- */

struct mu_taken_rows {
    struct mu_saved_rows *saved;
    bool no_memory; /* and then there are none */
};

/* Where they go, instead of those that were there. */
struct mu_row_sink mu_kept_rows_sink(struct mu_taken_rows *taken, struct mu_saved_rows *saved);

/* There was no memory for them: the checkpoint of this step is left out. NO_MEMORY: it is the last
 * one; without another the run goes on. On the training thread. */
enum mu_status mu_kept_rows_leave_out(struct mu_replica *replica, int64_t step, bool is_last);

/* ---- to servers; on the training thread, before they have their state ---- */

struct mu_given_rows {
    struct mu_replica *replica;
    size_t stride, count;
    uint64_t *ids; /* (MU_KEPT_ROWS_GIVEN_MAX) */
    float *rows;   /* (MU_KEPT_ROWS_GIVEN_MAX, stride) */
};
#define MU_KEPT_ROWS_GIVEN_MAX 4096

enum mu_status mu_kept_rows_open(struct mu_given_rows *given, struct mu_replica *replica);
void mu_kept_rows_close(struct mu_given_rows *given); /* takes a zeroed one */
/* Fits struct mu_row_writer. What the cluster says of a server that is gone. */
enum mu_status mu_kept_rows_put(void *given, uint64_t id, const float *row);
/* The last ones. */
enum mu_status mu_kept_rows_end(struct mu_given_rows *given);

#endif
