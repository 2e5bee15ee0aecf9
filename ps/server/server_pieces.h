/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_PIECES_H
#define MU_PS_SERVER_PIECES_H

#include "ps/table/row_piece.h"
#include "ps/table/table_sweep.h"
#include "runtime/io/link.h"

/*
 * The embedding rows of a snapshot. They are not copied as the dense vectors are: a sweep reads
 * them piece by piece while gradients are applied, and rows that change before it has come to them
 * are set aside (table_sweep.h). What is sent is the table at the snapshot's place in the order.
 *
 * Besides the rows it takes MU_ROW_PIECES_MAX pieces, a bit a row, and what may be set aside: rows
 * of MU_ROWS_ASIDE_BYTES, or those of one step if these are more. A server that has no room to set
 * aside what its next step may touch waits with that step until the leader has read more.
 */
#define MU_ROW_PIECES_MAX 2
#define MU_ROWS_ASIDE_BYTES ((size_t)32 << 20)

struct mu_ps_server;
struct mu_ps_peer;

struct mu_ps_row_pieces {
    struct mu_table_sweep sweep;
    struct mu_row_piece piece[MU_ROW_PIECES_MAX];
    struct mu_send sends[MU_ROW_PIECES_MAX];
    bool busy[MU_ROW_PIECES_MAX];
    uint64_t snapshot_id;
    bool sending; /* until the end of the rows has been sent */
};

/* Where the model has no table all of this does nothing. NO_MEMORY. */
enum mu_status mu_ps_pieces_init(struct mu_ps_server *server);
void mu_ps_pieces_finish(struct mu_ps_server *server); /* after the table */

uint64_t mu_ps_pieces_bytes(const struct mu_ps_server *server); /* of memory */

/* Is nothing of a snapshot on its way? */
bool mu_ps_pieces_idle(const struct mu_ps_server *server);
/* At the snapshot's place in the order. NO_MEMORY (MU_E0801). */
enum mu_status mu_ps_pieces_begin(struct mu_ps_server *server, uint64_t snapshot_id);
/* Sends what the pieces have room for. */
void mu_ps_pieces_go_on(struct mu_ps_server *server);
/* Nobody reads the rest of them. */
void mu_ps_pieces_drop(struct mu_ps_server *server);
/* May the next step be taken? */
bool mu_ps_pieces_have_room(const struct mu_ps_server *server);

/* ROWS of the leader, before its RESTORE: rows to begin with. */
enum mu_link_answer mu_ps_pieces_frame(
    struct mu_ps_peer *peer, const struct mu_frame *frame, void **ret_payload);
void mu_ps_pieces_arrived(struct mu_ps_peer *peer);

#endif
