/* SPDX-License-Identifier: Apache-2.0 */
#include "data/text_lines.h"

#include "data/decimal.h"
#include "data/text_scan.h"
#include <assert.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSORS 4 /* threads that read without waiting for each other */
#define PAD_BYTES 64
static_assert(PAD_BYTES >= MU_DECIMAL_PAD, "numbers are read out of the buffer");
#define NO_BLOCK SIZE_MAX
#define EXCERPT_BYTES 24

/* A block in memory, and how far its lines were walked. */
struct cursor {
    atomic_flag busy;
    size_t block;
    size_t bytes;    /* of the block */
    size_t line, at; /* the next line of the block, and where it begins */
    char *buffer;    /* (block_bytes_max + PAD_BYTES) */
};

struct mu_text_lines {
    struct mu_text_source *source;
    const struct mu_text_rules *rules;
    uint64_t *begin; /* (block_count + 1): where blocks begin; the last is the file's end */
    size_t block_count, block_room;
    size_t count; /* of lines */
    size_t block_bytes_max;
    uint32_t crc32c;
    struct cursor cursor[CURSORS];
};

/* ---- the index ---- */

struct indexing {
    struct mu_text_lines *lines;
    struct mu_log *log;
    void *owner;
};

static enum mu_status no_memory(const struct mu_text_lines *lines, struct mu_log *log)
{
    return mu_fail(log, MU_E0801, NULL, "no memory to read %s", mu_text_source_name(lines->source));
}

/* There is always room for one more: the end. */
static enum mu_status begin_block(struct mu_text_lines *lines, struct mu_log *log, uint64_t offset)
{
    if (lines->block_count + 1 >= lines->block_room) {
        size_t room = lines->block_room ? 2 * lines->block_room : 64;
        uint64_t *begin = realloc(lines->begin, room * sizeof(*begin));
        if (!begin)
            return no_memory(lines, log);
        lines->begin = begin;
        lines->block_room = room;
    }
    lines->begin[lines->block_count++] = offset;
    return MU_OK;
}

static enum mu_status found(void *owner, const struct mu_text_line *line)
{
    struct indexing *indexing = owner;
    struct mu_text_lines *lines = indexing->lines;
    if (lines->count % MU_TEXT_BLOCK_LINES == 0)
        MU_TRY(begin_block(lines, indexing->log, line->offset));
    if (lines->count == UINT32_MAX)
        return mu_fail(indexing->log, MU_E0502, "split it", "%s has more than %u lines",
            mu_text_source_name(lines->source), UINT32_MAX);
    lines->count++;
    return lines->rules->see ? lines->rules->see(indexing->owner, lines, indexing->log, line)
                             : MU_OK;
}

static enum mu_status make_index(struct mu_text_lines *lines, struct mu_log *log, void *owner)
{
    struct indexing indexing = {.lines = lines, .log = log, .owner = owner};
    struct mu_text_scan scan = {.source = lines->source,
        .log = log,
        .rules = lines->rules,
        .found = found,
        .owner = &indexing};
    MU_TRY(mu_text_scan_run(&scan));
    if (lines->count == 0)
        return mu_fail(
            log, MU_E0502, NULL, "%s has no samples", mu_text_source_name(lines->source));
    lines->begin[lines->block_count] = scan.bytes;
    lines->crc32c = scan.crc32c;
    for (size_t i = 0; i < lines->block_count; i++) {
        uint64_t bytes = lines->begin[i + 1] - lines->begin[i];
        if (bytes > lines->block_bytes_max)
            lines->block_bytes_max = bytes;
    }
    return MU_OK;
}

static enum mu_status make_cursors(struct mu_text_lines *lines, struct mu_log *log)
{
    for (size_t i = 0; i < CURSORS; i++) {
        struct cursor *cursor = &lines->cursor[i];
        cursor->block = NO_BLOCK;
        cursor->buffer = malloc(lines->block_bytes_max + PAD_BYTES);
        if (!cursor->buffer)
            return no_memory(lines, log);
    }
    return MU_OK;
}

enum mu_status mu_text_lines_open(struct mu_log *log, struct mu_text_source *source,
    const struct mu_text_rules *rules, void *owner, struct mu_text_lines **ret_lines)
{
    struct mu_text_lines *lines = calloc(1, sizeof(*lines));
    if (!lines) {
        enum mu_status status =
            mu_fail(log, MU_E0801, NULL, "no memory to read %s", mu_text_source_name(source));
        mu_text_source_close(source);
        return status;
    }
    lines->source = source;
    lines->rules = rules;
    for (size_t i = 0; i < CURSORS; i++)
        atomic_flag_clear(&lines->cursor[i].busy);
    enum mu_status status = make_index(lines, log, owner);
    if (status == MU_OK)
        status = make_cursors(lines, log);
    if (status != MU_OK) {
        mu_text_lines_close(lines);
        return status;
    }
    *ret_lines = lines;
    return MU_OK;
}

void mu_text_lines_close(struct mu_text_lines *lines)
{
    if (!lines)
        return;
    for (size_t i = 0; i < CURSORS; i++)
        free(lines->cursor[i].buffer);
    free(lines->begin);
    mu_text_source_close(lines->source);
    free(lines);
}

size_t mu_text_lines_count(const struct mu_text_lines *lines)
{
    return lines->count;
}

uint32_t mu_text_lines_crc32c(const struct mu_text_lines *lines)
{
    return lines->crc32c;
}

const char *mu_text_lines_name(const struct mu_text_lines *lines)
{
    return mu_text_source_name(lines->source);
}

/* ---- reading ---- */

/* A cursor of this thread's own until it is released: the one that has `block`, if it is free. */
static struct cursor *claim(struct mu_text_lines *lines, size_t block)
{
    for (;;) {
        struct cursor *other = NULL;
        for (size_t i = 0; i < CURSORS; i++) {
            struct cursor *cursor = &lines->cursor[i];
            if (atomic_flag_test_and_set_explicit(&cursor->busy, memory_order_acquire))
                continue;
            if (other)
                atomic_flag_clear_explicit(&other->busy, memory_order_release);
            other = cursor;
            if (cursor->block == block)
                break;
        }
        if (other)
            return other;
        sched_yield();
    }
}

static void release(struct cursor *cursor)
{
    atomic_flag_clear_explicit(&cursor->busy, memory_order_release);
}

static enum mu_status load(
    struct mu_text_lines *lines, struct mu_log *log, struct cursor *cursor, size_t block)
{
    size_t wanted = lines->begin[block + 1] - lines->begin[block];
    cursor->block = NO_BLOCK;
    MU_TRY(mu_text_source_read(
        lines->source, log, lines->begin[block], cursor->buffer, wanted, &cursor->bytes));
    if (cursor->bytes < wanted)
        return mu_fail(log, MU_E0502, NULL, "%s became shorter while it was in use",
            mu_text_source_name(lines->source));
    memset(cursor->buffer + wanted, '\n', PAD_BYTES);
    cursor->block = block;
    cursor->line = 0;
    cursor->at = 0;
    return MU_OK;
}

/* The cursor's next line that counts; false if the file is no longer what was scanned. */
static bool next_line(struct mu_text_lines *lines, struct cursor *cursor, struct mu_text_line *line)
{
    const char *end = cursor->buffer + cursor->bytes;
    while (cursor->at < cursor->bytes) {
        const char *text = cursor->buffer + cursor->at;
        const char *newline = mu_text_scan_end(lines->rules, text, end);
        *line = (struct mu_text_line){.text = text,
            .bytes = (size_t)(newline - text),
            .offset = lines->begin[cursor->block] + cursor->at};
        cursor->at += line->bytes + 1;
        if (mu_text_scan_counts(lines->rules, line->text, line->bytes)) {
            cursor->line++;
            return true;
        }
    }
    return false;
}

static enum mu_status find_line(struct mu_text_lines *lines, struct mu_log *log,
    struct cursor *cursor, size_t index, struct mu_text_line *ret_line)
{
    size_t block = index / MU_TEXT_BLOCK_LINES, wanted = index % MU_TEXT_BLOCK_LINES;
    if (cursor->block != block)
        MU_TRY(load(lines, log, cursor, block));
    if (cursor->line > wanted) {
        cursor->line = 0;
        cursor->at = 0;
    }
    while (cursor->line <= wanted)
        if (!next_line(lines, cursor, ret_line))
            return mu_fail(log, MU_E0502, NULL, "%s was changed while it was in use",
                mu_text_source_name(lines->source));
    return MU_OK;
}

enum mu_status mu_text_lines_read(struct mu_text_lines *lines, struct mu_log *log, void *owner,
    const uint32_t *index, size_t count)
{
    if (count == 0)
        return MU_OK;
    enum mu_status status = MU_OK;
    struct cursor *cursor = claim(lines, index[0] / MU_TEXT_BLOCK_LINES);
    for (size_t row = 0; row < count && status == MU_OK; row++) {
        struct mu_text_line line;
        assert(index[row] < lines->count);
        status = find_line(lines, log, cursor, index[row], &line);
        if (status == MU_OK)
            status = lines->rules->take(owner, lines, log, row, &line);
    }
    release(cursor);
    return status;
}

/* ---- complaints ---- */

enum mu_status mu_text_lines_refuse(struct mu_text_lines *lines, struct mu_log *log,
    enum mu_error error, const struct mu_text_line *line, const char *at, const char *help,
    const char *format, ...)
{
    char what[256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    uint64_t offset = line->offset + (uint64_t)(at - line->text), newlines;
    MU_TRY(mu_text_scan_newlines(lines->source, log, line->offset, &newlines));
    const char *end = line->text + line->bytes;
    assert(at >= line->text && at <= end);
    size_t left = (size_t)(end - at);
    int shown = left < EXCERPT_BYTES ? (int)left : EXCERPT_BYTES;
    return mu_fail(log, error, help, "%s:%llu:%llu: %s, found %s%.*s%s%s",
        mu_text_source_name(lines->source), (unsigned long long)newlines + 1,
        (unsigned long long)(offset - line->offset) + 1, what, left ? "`" : "the end of the line",
        shown, at, left > EXCERPT_BYTES ? "..." : "", left ? "`" : "");
}
