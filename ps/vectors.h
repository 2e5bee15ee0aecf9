/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_VECTORS_H
#define MU_PS_VECTORS_H

#include "runtime/io/shared_memory.h"
#include "runtime/tensor/arena.h"

struct mu_loop;

/*
 * The vectors that a worker pushes from and gets fresh parameters in, in one piece of memory: its
 * own, or one that servers of its host see too.
 *
 *   | nothing, 64 bytes | vector 0 | vector 1 | ... | rows       each begins at a multiple of 64
 *
 * What comes last is for embedding rows, and laid out by who pushes them.
 */
struct mu_vectors {
    struct mu_arena own;            /* this, */
    struct mu_shared_memory shared; /* or this */
    float *data;                    /* NULL: none */
    size_t count, stride;           /* vectors; floats from one to the next */
};

/* Of many vectors that takes seconds: `loop` turns meanwhile, unless it is NULL. NO_MEMORY. */
enum mu_status mu_vectors_init(struct mu_vectors *vectors, size_t count, size_t element_count,
    size_t row_bytes, struct mu_loop *loop);
/* As mu_shared_memory_create, `why` as there; then nothing is made. */
enum mu_status mu_vectors_init_shared(struct mu_vectors *vectors, size_t count,
    size_t element_count, size_t row_bytes, struct mu_loop *loop,
    char why[MU_SHARED_MEMORY_WHY_MAX]);
void mu_vectors_finish(struct mu_vectors *vectors); /* takes a zeroed one */

float *mu_vectors_at(const struct mu_vectors *vectors, size_t index);
void *mu_vectors_rows(const struct mu_vectors *vectors);
/* Where `at` and the bytes from there are in the shared memory, in bytes from its start; 0: they
 * are not, or not at a multiple of `align`. NULL vectors, or a NULL place: 0. */
int64_t mu_vectors_place(
    const struct mu_vectors *vectors, const void *at, size_t bytes, size_t align);
/* The other way, in memory of so many bytes that a worker shares; NULL: it is not in there. */
void *mu_vectors_find(
    const struct mu_shared_memory *shared, int64_t place, size_t bytes, size_t align);
/* Of a vector, and of rows; of ids it is that of a uint64_t. */
#define MU_VECTORS_ALIGN ((size_t)64)
#define MU_VECTORS_ROW_ALIGN sizeof(float)

#endif
