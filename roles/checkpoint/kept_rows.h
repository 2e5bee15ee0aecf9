/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_KEPT_ROWS_H
#define MU_ROLES_KEPT_ROWS_H

#include "runtime/base/status.h"
#include <stddef.h>
#include <stdint.h>

/*
 * The embedding rows that parameter servers keep, on the leader, on their way from a checkpoint to
 * the servers; they come from there by roles/checkpoint/row_spool.h:
 *
 *     checkpoint --- row by row, in the order of ids ---> a few here ---> servers
 *
 * On the training thread, before the servers have their state.
 */
struct mu_replica;

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
