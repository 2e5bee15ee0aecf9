/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_FOLDER_H
#define MU_IO_FOLDER_H

#include "runtime/base/log.h"
#include <stdbool.h>
#include <stddef.h>

/* What several writers of files need: folders made on the way, files that appear whole or not at
 * all. Folders are made 0700 and files 0600: what a run leaves is the user's alone. */

/* Is there a folder, or a link to one? */
bool mu_folder_is(const char *path);
/* Makes `path` and the folders above it; fine if it is there. CANNOT_CREATE (MU_E0604). */
enum mu_status mu_folder_make(struct mu_log *log, const char *path);

/* Puts a file at `path` with these bytes: written aside in the same folder, synced, renamed, the
 * folder synced. What was there before is replaced or untouched. CANNOT_CREATE (MU_E0604),
 * IO_ERROR (MU_E0605). */
enum mu_status mu_folder_write(
    struct mu_log *log, const char *path, const void *data, size_t bytes);

/* Writes everything, however often the system stops half-way; false with errno. */
bool mu_folder_write_all(int fd, const void *data, size_t bytes);
/* Adds a record at the end of a file of one writer, or nothing: what a full disk cut is taken back,
 * so that the next record begins where one may begin. False with errno. */
bool mu_folder_append(int fd, const void *data, size_t bytes);

#endif
