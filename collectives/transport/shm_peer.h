/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHM_PEER_H
#define MU_COLLECTIVES_SHM_PEER_H

#include "collectives/transport/shm_board.h"
#include "collectives/transport/shm_ring.h"
#include "collectives/transport/transport.h"

/* A way to a rank and back, as one of the two has it: what is posted, and how far it has got. */
#define MU_SHM_PIECE_BYTES ((size_t)32 << 10) /* after so many the other end may go on */

struct mu_shm_queue {
    struct mu_op *first, **last;
};

struct mu_shm_peer {
    struct mu_shm_board *board; /* NULL: not reached, or this rank itself */
    struct mu_shm_end out, in;
    struct mu_seen *seen;
    struct mu_shm_queue sends, receives;
    size_t sent, received;   /* bytes of the first of each */
    bool sending, receiving; /* the header of the first of each has passed */
    uint32_t asked;          /* the number of our last survey */
    bool active;             /* something is under way */
    enum mu_status ended;    /* OK: it goes on */
};

void mu_shm_peer_init(struct mu_shm_peer *peer);
void mu_shm_peer_send(struct mu_shm_peer *peer, struct mu_op *op);
void mu_shm_peer_receive(struct mu_shm_peer *peer, struct mu_op *op);
/* Moves on what can be moved now and ends what will not come any more; returns how many pieces have
 * moved. `ours`: what this rank is doing; NULL: nothing is compared. */
int mu_shm_peer_move(struct mu_shm_peer *peer, const struct mu_signature *ours);
/* It is gone: what it had put in the ring still counts, the rest ends with `why`. */
void mu_shm_peer_end(struct mu_shm_peer *peer, const struct mu_signature *ours, enum mu_status why);
bool mu_shm_peer_idle(const struct mu_shm_peer *peer);
bool mu_shm_peer_left(const struct mu_shm_peer *peer); /* closed or aborted */

#endif
