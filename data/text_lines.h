/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_TEXT_LINES_H
#define MU_DATA_TEXT_LINES_H

#include "data/text_source.h"
#include <stdbool.h>

/*
 * A text file as numbered lines, each one sample, without holding it: one scan counts them and
 * keeps where every MU_TEXT_BLOCK_LINES-th begins (8 bytes for that many). Reading then takes whole
 * blocks of so many lines, so lines that follow each other are the quick case.
 */
struct mu_text_lines;

#define MU_TEXT_BLOCK_LINES 64
#define MU_TEXT_LINE_BYTES_MAX (1U << 20)

struct mu_text_line {
    const char *text; /* ends before its newline; at least 64 bytes after it can be read */
    size_t bytes;
    uint64_t offset; /* in the file */
    size_t marks;    /* while scanning: how often rules.mark is in it */
};

struct mu_text_rules {
    char mark;    /* counted while scanning */
    bool quoted;  /* `mark` is a quote: a newline after an odd number of them is part of the line */
    char comment; /* a line that begins with it (after blanks) is none; 0: there are no such */
    uint32_t skip_lines; /* at the start: a header */
    /* While opening: each line in order. May be NULL. */
    enum mu_status (*see)(void *owner, struct mu_text_lines *lines, struct mu_log *log,
        const struct mu_text_line *line);
    /* While reading: the line for row `row`. */
    enum mu_status (*take)(void *owner, struct mu_text_lines *lines, struct mu_log *log, size_t row,
        const struct mu_text_line *line);
};

/* Lines of blanks are none. MU_E0501, MU_E0502 (gzip; a line too long; no line), MU_E0801, and what
 * `see` returns. Takes the source, also on failure. The rules are borrowed. */
enum mu_status mu_text_lines_open(struct mu_log *log, struct mu_text_source *source,
    const struct mu_text_rules *rules, void *owner, struct mu_text_lines **ret_lines);
void mu_text_lines_close(struct mu_text_lines *lines); /* takes NULL */

size_t mu_text_lines_count(const struct mu_text_lines *lines);
uint32_t mu_text_lines_crc32c(const struct mu_text_lines *lines); /* of the whole (unpacked) file */
const char *mu_text_lines_name(const struct mu_text_lines *lines);

/* Hands line index[i] to `take` as row i, for all i in order. Several threads may read at once.
 * What `take` returns; MU_E0501, MU_E0502, MU_E0505. */
enum mu_status mu_text_lines_read(struct mu_text_lines *lines, struct mu_log *log, void *owner,
    const uint32_t *index, size_t count);

/*
 * error[E0502]: train.svm:17:23: expected a value after `977:`, found ` 14:2`
 *
 * `at` is in the line. Counts the lines before it in the file to know its number.
 */
__attribute__((format(printf, 7, 8))) enum mu_status mu_text_lines_refuse(
    struct mu_text_lines *lines, struct mu_log *log, enum mu_error error,
    const struct mu_text_line *line, const char *at, const char *help, const char *format, ...);

#endif
