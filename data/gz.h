/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_GZ_H
#define MU_DATA_GZ_H

#include "runtime/base/log.h"
#include <stdio.h>

/*
 * A data file read front to back, unpacked on the way if it is gzip (RFC 1952; told by its first
 * two bytes, not by its name). Every damage is found: truncation, a wrong checksum, bytes too many.
 */
struct mu_gz;

/* MU_E0501 (NO_INPUT) if it is missing, unreadable or no regular file; MU_E0801. */
enum mu_status mu_gz_open(struct mu_log *log, const char *path, struct mu_gz **ret_gz);
/* The same from an open, seekable file, which is closed with it, also on failure. */
enum mu_status mu_gz_open_file(
    struct mu_log *log, const char *name, FILE *file, struct mu_gz **ret_gz);
void mu_gz_close(struct mu_gz *gz); /* takes NULL */
/* Says MU_E0501 of such a file, and how to look at it. */
enum mu_status mu_gz_unreadable(struct mu_log *log, const char *name, const char *why);

/* The name that it was opened by, for messages. */
const char *mu_gz_name(const struct mu_gz *gz);
/* The descriptor of a plain file, borrowed; -1: it is packed. */
int mu_gz_descriptor(const struct mu_gz *gz);
/* No more bytes than this can come out of a file of this length: what a header claims is held
 * against it before memory is taken. */
size_t mu_gz_bytes_max(const struct mu_gz *gz);

/* From here on the file is records of so many bytes: damage is then said with its record, from 0.
 */
void mu_gz_count_records(struct mu_gz *gz, size_t record_bytes);

/* Exactly the next `bytes` bytes: MU_E0502 (BAD_DATA) if there are fewer or they are damaged. */
enum mu_status mu_gz_read(struct mu_gz *gz, void *out, size_t bytes);
/* Some of the next bytes, at least one unless the file is at its end. The log takes the place of
 * the one that it was opened with. */
enum mu_status mu_gz_read_some(
    struct mu_gz *gz, struct mu_log *log, void *out, size_t bytes_max, size_t *ret_bytes);
/* MU_E0502 unless the file ends here, undamaged. */
enum mu_status mu_gz_end(struct mu_gz *gz);

#endif
