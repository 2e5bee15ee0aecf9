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

/* Where a file goes that is made while it is written. */
struct mu_store_output {
    /* Behind what was written before. What put returns when it cannot; has been said. */
    enum mu_status (*write)(struct mu_store_output *output, const void *data, size_t bytes);
};

/* A file as the pieces it is made of, written in order without being joined in memory. */
struct mu_store_file {
    char name[MU_STORE_NAME_MAX]; /* "model.safetensors" */
    const struct mu_store_piece {
        const void *at;
        size_t bytes;
    } * pieces;
    size_t piece_count;
    /* NULL: the pieces are all. Makes what comes after them, inside of put, when all files before
     * this one are written: so one may hold the checksums of another. What it returns, if not OK,
     * ends the put; it says why itself. */
    enum mu_status (*make)(void *owner, struct mu_store_output *output);
    void *owner;
    size_t made_bytes; /* that `make` will write, for messages */
};

/* An open file of a store, for one thread at a time. */
struct mu_store_open {
    const struct mu_store_open_ops {
        /* All of these bytes. IO_ERROR: also where there are fewer. */
        enum mu_status (*read)(
            struct mu_store_open *open, struct mu_log *log, uint64_t at, void *data, size_t bytes);
        /* Of a scratch file: at its end. IO_ERROR, NO_MEMORY. */
        enum mu_status (*append)(
            struct mu_store_open *open, struct mu_log *log, const void *data, size_t bytes);
        void (*close)(struct mu_store_open *open);
    } * ops;
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
    /* The same file to be read in parts, whatever becomes of the entry meanwhile. Fails like get.
     */
    enum mu_status (*open)(struct mu_store *store, struct mu_log *log, int64_t number,
        const char *name, size_t bytes_max, struct mu_store_open **ret_open, size_t *ret_bytes);
    /* An empty file for what memory should not hold, beside the entries. Nobody else sees it, it is
     * gone when it is closed, and when the process ends in whatever way. CANNOT_CREATE, IO_ERROR,
     * NO_MEMORY. */
    enum mu_status (*scratch)(
        struct mu_store *store, struct mu_log *log, struct mu_store_open **ret_open);
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
