/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_TEXT_SOURCE_H
#define MU_DATA_TEXT_SOURCE_H

#include "runtime/base/log.h"
#include <stddef.h>
#include <stdint.h>

/*
 * The bytes of a file by their offset, unpacked if it is gzip. A plain file is read where it is
 * asked for. A packed one of up to MU_TEXT_SOURCE_HELD_MAX bytes is unpacked into memory when it is
 * opened. A larger one is unpacked as it is read: quick from front to back, again and again;
 * skipping forward unpacks what is skipped, and going back (but to offset 0) before half of it was
 * read is refused: everything would be unpacked anew each time.
 */
struct mu_text_source;

#define MU_TEXT_SOURCE_HELD_MAX (256U << 20)

/* MU_E0501, MU_E0502, MU_E0801. `held_max`: MU_TEXT_SOURCE_HELD_MAX, or less in a test. */
enum mu_status mu_text_source_open(
    struct mu_log *log, const char *path, size_t held_max, struct mu_text_source **ret_source);
void mu_text_source_close(struct mu_text_source *source); /* takes NULL */

const char *mu_text_source_name(const struct mu_text_source *source);

/* Up to `bytes_max` bytes from `offset`; less only at the end of the file. Several threads may read
 * at once. BAD_DATA (damaged gzip), MU_E0501 (cannot be read), MU_E0505 (see above). */
enum mu_status mu_text_source_read(struct mu_text_source *source, struct mu_log *log,
    uint64_t offset, void *out, size_t bytes_max, size_t *ret_bytes);

#endif
