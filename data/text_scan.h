/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_TEXT_SCAN_H
#define MU_DATA_TEXT_SCAN_H

#include "data/text_lines.h"

/* Finds the lines of a source, front to back, for the index of mu_text_lines. */
struct mu_text_scan {
    struct mu_text_source *source;
    struct mu_log *log;
    const struct mu_text_rules *rules;
    /* Each line that counts (no blanks, comment, header). */
    enum mu_status (*found)(void *owner, const struct mu_text_line *line);
    void *owner;
    uint64_t bytes;  /* of the file, afterwards */
    uint32_t crc32c; /* of it, afterwards */
};

/* MU_E0501, MU_E0502, MU_E0801, and what `found` returns. */
enum mu_status mu_text_scan_run(struct mu_text_scan *scan);

/* Whether a line is a sample, and the end of the line that begins at `text`: its newline, or `end`.
 * The same rules as the scan has. */
bool mu_text_scan_counts(const struct mu_text_rules *rules, const char *text, size_t bytes);
const char *mu_text_scan_end(const struct mu_text_rules *rules, const char *text, const char *end);

/* How many newlines are before `offset`. */
enum mu_status mu_text_scan_newlines(
    struct mu_text_source *source, struct mu_log *log, uint64_t offset, uint64_t *ret_count);

#endif
