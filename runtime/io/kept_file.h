/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_IO_KEPT_FILE_H
#define MU_IO_KEPT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* A small file of one writer that is replaced again and again, and still can be when the disk is
 * full: a second file beside it, ".NAME.kept", holds room from the start. While there is room, the
 * file is written aside and renamed. When there is none, the text goes into the second, whose
 * blocks are there, padded with spaces at its end, and the two change names: each then has the
 * blocks of the other. A file system that copies on write (btrfs, ZFS) needs room even so, and one
 * that cannot exchange names (NFS) has it once.
 *
 * What a reader has open may thus be written again at the next but one call: who reads looks at
 * the file's inode and time before and after, and again if they differ. */

/* `room_bytes`: as much as the text will ever need. False with errno. */
bool mu_kept_file_write(const char *path, const void *data, size_t bytes, size_t room_bytes);
/* Gives the second up, after the last write. */
void mu_kept_file_finish(const char *path);

#endif
