/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_SHARED_MEMORY_H
#define MU_IO_SHARED_MEMORY_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mu_loop;

/*
 * Memory that the processes of one host share, as files in /dev/shm. Everything here is of the real
 * world: no call knows of struct mu_world.
 */

/* Which running kernel this is, and as whom we run: what decides who may share memory. Fixed size,
 * no padding: it travels. */
struct mu_shared_memory_host {
    uint8_t boot[16]; /* zero: not known, the host of nobody else */
    uint32_t user;
    uint32_t reserved;
};
void mu_shared_memory_host(struct mu_shared_memory_host *ret_host);
bool mu_shared_memory_same_host(
    const struct mu_shared_memory_host *a, const struct mu_shared_memory_host *b);

/* For names and tokens that nobody guesses. */
void mu_shared_memory_random(void *buffer, size_t bytes);

/* A piece of shared memory. A name is 128 random bits: no two are ever the same, and nobody guesses
 * one. Its maker holds a lock on it while it lives, which is how a leftover is told from a piece in
 * use. */
#define MU_SHARED_MEMORY_NAME_MAX 64
#define MU_SHARED_MEMORY_WHY_MAX 160
struct mu_shared_memory {
    void *at; /* page-aligned; NULL: none */
    size_t bytes;
    int file;                             /* the maker's holds the lock; -1: none */
    char name[MU_SHARED_MEMORY_NAME_MAX]; /* "" once unlinked, and where it was opened */
};

/* Makes `bytes`, zeroed, every page there and mapped, for this user only. Of much memory that takes
 * seconds: `loop` turns meanwhile, unless it is NULL. UNAVAILABLE, NO_MEMORY (/dev/shm is full):
 * `why` says so in words that follow "because", "/dev/shm is full (needs 12.0 MiB, has 3.0 MiB)";
 * then nothing is left behind. */
enum mu_status mu_shared_memory_create(struct mu_shared_memory *memory, size_t bytes,
    struct mu_loop *loop, char why[MU_SHARED_MEMORY_WHY_MAX]);
/* Maps what a peer has made under the name. It must be ours in user and exact in size; what lies in
 * it is for the caller to check. UNAVAILABLE: with `why`, "it belongs to another user". */
enum mu_status mu_shared_memory_open(struct mu_shared_memory *memory, const char *name,
    size_t bytes, char why[MU_SHARED_MEMORY_WHY_MAX]);
/* The same bytes at the same address, in a new piece: who had opened the old one keeps that, and
 * what it writes there is read by nobody. Meanwhile nobody may write. OK: with a new name. Else, as
 * create: the bytes are in memory of this process alone, unless there was none for that either
 * (`at` is still the old piece then: `file` says which, -1 is its own). */
enum mu_status mu_shared_memory_renew(
    struct mu_shared_memory *memory, struct mu_loop *loop, char why[MU_SHARED_MEMORY_WHY_MAX]);
/* Takes the name away; the memory stays until all have closed it. */
void mu_shared_memory_unlink(struct mu_shared_memory *memory);
void mu_shared_memory_close(struct mu_shared_memory *memory); /* takes a zeroed one; unlinks */
/* Of an opened one: does the process that made it still live and hold it? A system call. */
bool mu_shared_memory_held(const struct mu_shared_memory *memory);

/* Removes what dead processes of this user have left; returns how many pieces. */
int mu_shared_memory_sweep(void);

#endif
