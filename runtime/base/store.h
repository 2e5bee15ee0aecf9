/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_BASE_STORE_H
#define MU_BASE_STORE_H

#include "runtime/base/log.h"
#include "runtime/base/text.h"
#include <stddef.h>
#include <stdint.h>

/*
 * Where checkpoints are kept: numbered entries of a few named files each, put all or nothing.
 * Drivers: directory (runtime/io/store_directory.c), memory (runtime/base/store_memory.c, for tests
 * and simulations). One writer at a time; readers need no lock: an entry is whole or absent.
 */
#define MU_STORE_FILES_MAX 5
#define MU_STORE_NAME_MAX 32

/* A file as the pieces it is made of, written in order without being joined in memory. */
struct mu_store_file {
    char name[MU_STORE_NAME_MAX]; /* "model.safetensors" */
    const struct mu_store_piece {
        const void *at;
        size_t bytes;
    } * pieces;
    size_t piece_count;
};

struct mu_store;

struct mu_store_ops {
    const char *name;
    /* Blocks until it is safe: written aside, synced, renamed, the directory synced. Replaces an
     * entry of the same number. CANNOT_CREATE or IO_ERROR with path and reason; nothing of a failed
     * entry remains visible, and older entries are untouched. */
    enum mu_status (*put)(struct mu_store *store, struct mu_log *log, int64_t number,
        const struct mu_store_file *files, size_t file_count);
    /* The numbers of whole entries, ascending, up to `most`; returns how many there are (which may
     * be more than `most`: then the newest `most` are given). */
    size_t (*list)(struct mu_store *store, int64_t *ret_numbers, size_t most);
    /* One file whole, on the heap (free). NO_INPUT if it is not there (nothing is said);
     * BAD_DATA if it has more than `bytes_max` bytes; IO_ERROR. */
    enum mu_status (*get)(struct mu_store *store, struct mu_log *log, int64_t number,
        const char *name, size_t bytes_max, void **ret_data, size_t *ret_bytes);
    /* Removes an entry; one that is not there is fine. */
    enum mu_status (*drop)(struct mu_store *store, struct mu_log *log, int64_t number);
    /* The path or name of an entry, for messages. */
    void (*describe)(struct mu_store *store, int64_t number, char *out, size_t bytes);
    void (*close)(struct mu_store *store);
};

struct mu_store {
    const struct mu_store_ops *ops;
};

/* An empty store in memory. */
enum mu_status mu_store_memory_open(struct mu_store **ret_store);

#endif
