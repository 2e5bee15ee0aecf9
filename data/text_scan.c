/* SPDX-License-Identifier: Apache-2.0 */
#include "data/text_scan.h"

#include "runtime/base/crc32c.h"
#include <stdlib.h>
#include <string.h>

#define READ_BYTES ((size_t)256 << 10) /* stays in the cache between reading and looking */
#define PAD_BYTES 64

/* ---- 64 bytes at a time, as bits ---- */

#if defined(__SSE2__)
#include <emmintrin.h>

static uint64_t equal_bits(const char *at, char byte)
{
    uint64_t bits = 0;
    const __m128i wanted = _mm_set1_epi8(byte);
    for (int i = 0; i < 4; i++) {
        __m128i some;
        memcpy(&some, at + 16 * i, sizeof(some));
        bits |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(some, wanted)) << 16 * i;
    }
    return bits;
}
#else
static uint64_t equal_bits(const char *at, char byte)
{
    uint64_t bits = 0;
    for (int i = 0; i < 64; i++)
        bits |= (uint64_t)(at[i] == byte) << i;
    return bits;
}
#endif

/* Bits set, without the instruction that not every machine has. */
static size_t count_bits(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return bits * UINT64_C(0x0101010101010101) >> 56;
}

/* ---- what counts ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

bool mu_text_scan_counts(const struct mu_text_rules *rules, const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && is_blank(text[at]))
        at++;
    return at < bytes && (rules->comment == 0 || text[at] != rules->comment);
}

static size_t count_byte(const char *text, const char *end, char byte)
{
    size_t count = 0;
    while ((text = memchr(text, byte, (size_t)(end - text)))) {
        count++;
        text++;
    }
    return count;
}

const char *mu_text_scan_end(const struct mu_text_rules *rules, const char *text, const char *end)
{
    const char *from = text, *newline;
    size_t marks = 0;
    while ((newline = memchr(from, '\n', (size_t)(end - from)))) {
        if (rules->quoted)
            marks += count_byte(from, newline, rules->mark);
        if (marks % 2 == 0)
            return newline;
        from = newline + 1;
    }
    return end;
}

/* ---- the scan ---- */

/*
 * The buffer begins with the line that is not whole yet:
 *
 *   | line ... | line | ... | rest |  room  |
 *   0          looked for newlines up to `filled`
 */
struct walk {
    struct mu_text_scan *scan;
    char *buffer; /* (MU_TEXT_LINE_BYTES_MAX + READ_BYTES + PAD_BYTES) */
    size_t filled, line, marks;
    uint64_t offset; /* of the buffer's first byte in the file */
    uint32_t skipped;
};

static enum mu_status too_long(const struct walk *walk)
{
    uint64_t newlines;
    MU_TRY(mu_text_scan_newlines(
        walk->scan->source, walk->scan->log, walk->offset + walk->line, &newlines));
    return mu_fail(walk->scan->log, MU_E0502,
        walk->scan->rules->quoted ? "is a quote not closed?" : NULL,
        "%s:%llu: the line is longer than %u bytes", mu_text_source_name(walk->scan->source),
        (unsigned long long)newlines + 1, MU_TEXT_LINE_BYTES_MAX);
}

/* The line from walk->line to `end`, where its newline is. */
static enum mu_status end_line(struct walk *walk, size_t end)
{
    const struct mu_text_rules *rules = walk->scan->rules;
    struct mu_text_line line = {.text = walk->buffer + walk->line,
        .bytes = end - walk->line,
        .offset = walk->offset + walk->line,
        .marks = walk->marks};
    if (line.bytes > MU_TEXT_LINE_BYTES_MAX)
        return too_long(walk);
    walk->line = end + 1;
    walk->marks = 0;
    if (!mu_text_scan_counts(rules, line.text, line.bytes))
        return MU_OK;
    if (walk->skipped < rules->skip_lines) {
        walk->skipped++;
        return MU_OK;
    }
    return walk->scan->found(walk->scan->owner, &line);
}

/* 64 bytes from `at`, of which those that are `valid` are text. */
static enum mu_status look(struct walk *walk, size_t at, uint64_t valid)
{
    const struct mu_text_rules *rules = walk->scan->rules;
    uint64_t newlines = equal_bits(walk->buffer + at, '\n') & valid;
    uint64_t marks = equal_bits(walk->buffer + at, rules->mark) & valid;
    for (; newlines; newlines &= newlines - 1) {
        uint64_t below = (newlines & -newlines) - 1;
        walk->marks += count_bits(marks & below);
        marks &= ~below;
        if (rules->quoted && walk->marks % 2 == 1)
            continue;
        MU_TRY(end_line(walk, at + (size_t)__builtin_ctzll(newlines)));
    }
    walk->marks += count_bits(marks);
    return MU_OK;
}

static enum mu_status look_from(struct walk *walk, size_t from)
{
    size_t at = from;
    for (; walk->filled - at >= 64; at += 64)
        MU_TRY(look(walk, at, UINT64_MAX));
    if (walk->filled > at)
        MU_TRY(look(walk, at, (UINT64_C(1) << (walk->filled - at)) - 1));
    return MU_OK;
}

/* Drops the lines that are done. */
static void move_rest(struct walk *walk)
{
    memmove(walk->buffer, walk->buffer + walk->line, walk->filled - walk->line);
    walk->filled -= walk->line;
    walk->offset += walk->line;
    walk->line = 0;
}

/* The last line may lack its newline. */
static enum mu_status finish_walk(struct walk *walk)
{
    if (walk->filled == walk->line)
        return MU_OK;
    walk->buffer[walk->filled] = '\n';
    return end_line(walk, walk->filled);
}

static enum mu_status walk_file(struct walk *walk)
{
    struct mu_text_scan *scan = walk->scan;
    for (;;) {
        size_t from = walk->filled, got;
        MU_TRY(mu_text_source_read(
            scan->source, scan->log, walk->offset + from, walk->buffer + from, READ_BYTES, &got));
        scan->crc32c = mu_crc32c(scan->crc32c, walk->buffer + from, got);
        scan->bytes += got;
        walk->filled += got;
        if (got == 0)
            return finish_walk(walk);
        MU_TRY(look_from(walk, from));
        move_rest(walk);
        if (walk->filled > MU_TEXT_LINE_BYTES_MAX)
            return too_long(walk);
    }
}

enum mu_status mu_text_scan_run(struct mu_text_scan *scan)
{
    struct walk walk = {.scan = scan};
    walk.buffer = calloc(1, MU_TEXT_LINE_BYTES_MAX + READ_BYTES + PAD_BYTES);
    if (!walk.buffer)
        return mu_fail(
            scan->log, MU_E0801, NULL, "no memory to read %s", mu_text_source_name(scan->source));
    scan->bytes = 0;
    scan->crc32c = 0;
    enum mu_status status = walk_file(&walk);
    free(walk.buffer);
    return status;
}

enum mu_status mu_text_scan_newlines(
    struct mu_text_source *source, struct mu_log *log, uint64_t offset, uint64_t *ret_count)
{
    char some[4096];
    uint64_t count = 0;
    for (uint64_t at = 0; at < offset;) {
        size_t got, most = offset - at < sizeof(some) ? (size_t)(offset - at) : sizeof(some);
        MU_TRY(mu_text_source_read(source, log, at, some, most, &got));
        if (got == 0)
            break;
        count += count_byte(some, some + got, '\n');
        at += got;
    }
    *ret_count = count;
    return MU_OK;
}
