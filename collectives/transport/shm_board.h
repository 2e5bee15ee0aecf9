/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_COLLECTIVES_SHM_BOARD_H
#define MU_COLLECTIVES_SHM_BOARD_H

#include "collectives/transport/transport.h"
#include <stdatomic.h>

/*
 * What a rank lets the others of its host read about itself, at the start of its segment: it
 * writes, they read, and nobody has to answer.
 */
#define MU_SHM_SIGNATURE_WORDS (sizeof(struct mu_signature) / sizeof(uint64_t))

struct mu_shm_board {
    /* 1: asleep here; who has something for it sets 0 and wakes it */
    _Alignas(128) _Atomic uint32_t sleeping;
    _Atomic uint32_t gone;   /* it has closed */
    _Atomic uint32_t ended;  /* `late` and `farewell` are written: the status */
    _Atomic uint32_t asked;  /* surveys so far, by others */
    _Atomic uint32_t answer; /* the last one that it has noticed */
    int32_t late;
    char farewell[sizeof((struct mu_seen){0}.farewell)];

    /* The operation that it entered last; odd while it is written. */
    _Alignas(128) _Atomic uint32_t version;
    _Atomic uint32_t inside;
    _Atomic int64_t since_ns;
    _Atomic uint64_t signature[MU_SHM_SIGNATURE_WORDS];
};

void mu_shm_board_enter(
    struct mu_shm_board *board, const struct mu_signature *signature, int64_t now_ns);
void mu_shm_board_end(
    struct mu_shm_board *board, enum mu_status status, int late, const char *why); /* once */
/* All but `answers`. */
void mu_shm_board_read(const struct mu_shm_board *board, struct mu_seen *seen);

/* Wakes its owner if it sleeps; after what it should see was stored (memory_order_seq_cst). */
void mu_shm_board_ring(struct mu_shm_board *board);
/* The owner: from now on it is woken. It looks for work once more, then sleeps, then says so. */
void mu_shm_board_doze(struct mu_shm_board *board);
void mu_shm_board_sleep(struct mu_shm_board *board, int64_t timeout_ns);

#endif
