/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_STORE_OPEN_H
#define MU_IO_STORE_OPEN_H

#include "runtime/base/store.h"

/* Open files of the store on disk: of entries, and scratch files. */

/* Of the file at `where`, for messages; its descriptor is closed with it, and if this fails.
 * NO_MEMORY. */
enum mu_status mu_store_open_file(
    struct mu_log *log, const char *where, int fd, struct mu_store_open **ret_open);

/* A scratch file in the folder `root`, which has this path: it has a hidden name, of MU_STORE_OPEN_
 * SCRATCH, only until it is open. CANNOT_CREATE (MU_E0604), NO_MEMORY. */
#define MU_STORE_OPEN_SCRATCH ".scratch-"
enum mu_status mu_store_open_scratch(
    struct mu_log *log, const char *path, int root, struct mu_store_open **ret_open);

/* ": No space left on device (needs 6 B, 3 B free)": what became of a write of so many bytes below
 * `path`, by its errno; and what to type. */
enum mu_status mu_store_open_failed(struct mu_log *log, enum mu_error error, const char *path,
    const char *what, size_t bytes, int reason);

#endif
