/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/log.h"
#include "runtime/base/console.h"
#include "runtime/base/text.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How much of a long line is shown around its caret, and how much of that before the caret. */
#define COLUMNS_MAX 80
#define COLUMNS_BEFORE 40
#define FORMATTED_BYTES_MAX 2048

/* A message is made in fixed memory, for it may have to say that there is no more. What does not
 * fit is cut. */
struct message {
    char text[MU_LOG_TEXT_MAX];
    size_t bytes;
};

/*
 * What users and peers typed must not reach a terminal as control codes: everything that is not
 * printable becomes `?`. A tab takes one column, as the caret counts.
 */
static int printable_bytes(const char *text, size_t bytes)
{
    int length = mu_text_utf8_bytes(text, bytes);
    unsigned char first = (unsigned char)text[0], second = length > 1 ? (unsigned char)text[1] : 0;
    bool control = first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0);
    /* U+2028 to U+202E and U+2066 to U+2069 break lines or turn the direction of writing. */
    unsigned char third = length > 2 ? (unsigned char)text[2] : 0;
    bool turns = first == 0xe2 && ((second == 0x80 && third >= 0xa8 && third <= 0xae) ||
                                      (second == 0x81 && third >= 0xa6 && third <= 0xa9));
    return control || turns ? 0 : length;
}

static void message_put(struct message *message, const char *text, size_t bytes)
{
    if (bytes < sizeof(message->text) - message->bytes) {
        memcpy(message->text + message->bytes, text, bytes);
        message->bytes += bytes;
    }
    message->text[message->bytes] = '\0';
}

/* Adds one character, made printable, and returns how many bytes of `text` it was. */
static size_t message_put_character(struct message *message, const char *text, size_t bytes)
{
    int printable = printable_bytes(text, bytes), whole = mu_text_utf8_bytes(text, bytes);
    if (printable > 0)
        message_put(message, text, (size_t)printable);
    else
        message_put(message, text[0] == '\t' ? " " : "?", 1);
    return whole > 0 ? (size_t)whole : 1;
}

static void message_put_clean(struct message *message, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        if (text[i] == '\n')
            message_put(message, &text[i++], 1);
        else
            i += message_put_character(message, text + i, bytes - i);
    }
}

__attribute__((format(printf, 2, 0))) static void message_add_v(
    struct message *message, const char *format, va_list list)
{
    char formatted[FORMATTED_BYTES_MAX];
    vsnprintf(formatted, sizeof(formatted), format, list);
    message_put_clean(message, formatted, strlen(formatted));
}

__attribute__((format(printf, 2, 3))) static void message_add(
    struct message *message, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    message_add_v(message, format, list);
    va_end(list);
}

static void message_repeat(struct message *message, char byte, int count)
{
    for (int i = 0; i < count; i++)
        message_put(message, &byte, 1);
}

static void write_stderr(struct mu_log *log, enum mu_level level, const char *text)
{
    struct message message = {.bytes = 0};
    if (level == MU_LEVEL_WARN)
        message_put(&message, "warning: ", strlen("warning: "));
    message_put(&message, text, strnlen(text, sizeof(message.text) - message.bytes - 2));
    message_put(&message, "\n", 1);
    mu_console_write(STDERR_FILENO, MU_CONSOLE_LINES, message.text, message.bytes);
}

void mu_log_init_stderr(struct mu_log *log, enum mu_level level)
{
    *log = (struct mu_log){.write = write_stderr, .level = level};
}

void mu_say(struct mu_log *log, enum mu_level level, const char *format, ...)
{
    assert(log);
    if (level > log->level)
        return;
    struct message message = {.bytes = 0};
    va_list list;
    va_start(list, format);
    message_add_v(&message, format, list);
    va_end(list);
    log->write(log, level, message.text);
}

static const char *help_of(const struct mu_log *log, enum mu_error error, const char *help)
{
    const char *known = help ? help : mu_error_remedy(error);
    return log->help ? log->help(error, known) : known;
}

static void keep_first(struct mu_log *log, enum mu_error error, const char *text, const char *help)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&log->first_taken, &none, 1))
        return;
    char line[sizeof(log->first_text)];
    mu_text_copy(line, sizeof(line), text);
    line[strcspn(line, "\n")] = '\0';
    mu_text_copy(log->first_text, sizeof(log->first_text), line);
    mu_text_copy(log->first_help, sizeof(log->first_help), help_of(log, error, help));
    log->first_status = mu_error_status(error);
    log->first_number = mu_error_number(error);
}

/* "error[E0104]: unknown task type `workers`" */
__attribute__((format(printf, 5, 0))) static void message_add_headline(struct message *message,
    struct mu_log *log, enum mu_error error, const char *help, const char *format, va_list list)
{
    message_add(message, "error[E%04d]: ", mu_error_number(error));
    size_t head_bytes = message->bytes;
    message_add_v(message, format, list);
    while (message->bytes > head_bytes && message->text[message->bytes - 1] == '\n')
        message->text[--message->bytes] = '\0'; /* no empty line before the help */
    keep_first(log, error, message->text + head_bytes, help);
}

enum mu_status mu_fail(
    struct mu_log *log, enum mu_error error, const char *help, const char *format, ...)
{
    assert(log);
    struct message message = {.bytes = 0};
    va_list list;
    va_start(list, format);
    message_add_headline(&message, log, error, help, format, list);
    va_end(list);
    message_add(&message, "\n  = help: %s", help_of(log, error, help));
    log->write(log, MU_LEVEL_ERROR, message.text);
    return mu_error_status(error);
}

/* The line of a text in which a place lies, and where in it. Columns are characters from 0. */
struct line {
    const char *text;
    size_t bytes;
    int number, columns;
    int caret, caret_width;
};

static int count_columns(const char *text, size_t bytes)
{
    int columns = 0;
    for (size_t i = 0; i < bytes; columns++) {
        int length = mu_text_utf8_bytes(text + i, bytes - i);
        i += length > 0 ? (size_t)length : 1;
    }
    return columns;
}

static struct line line_find(const struct mu_place *place)
{
    size_t offset = place->offset < place->bytes ? place->offset : place->bytes;
    size_t start = 0, end = offset;
    struct line line = {.number = 1};
    for (size_t i = 0; i < offset; i++) {
        if (place->text[i] == '\n') {
            line.number++;
            start = i + 1;
        }
    }
    while (end < place->bytes && place->text[end] != '\n' && place->text[end] != '\r')
        end++;
    line.text = place->text + start;
    line.bytes = end - start;
    line.columns = count_columns(line.text, line.bytes);
    line.caret = count_columns(line.text, offset - start);
    size_t width = place->width < end - offset ? place->width : end - offset;
    line.caret_width = count_columns(place->text + offset, width);
    if (line.caret_width == 0)
        line.caret_width = 1;
    return line;
}

static const char *skip_columns(const struct line *line, int columns)
{
    size_t at = 0;
    for (int i = 0; i < columns && at < line->bytes; i++) {
        int length = mu_text_utf8_bytes(line->text + at, line->bytes - at);
        at += length > 0 ? (size_t)length : 1;
    }
    return line->text + at;
}

/* The two lines with the text and the caret, cut to COLUMNS_MAX. */
static void message_add_line(
    struct message *message, const struct line *line, int gutter, const char *expected)
{
    int first = 0;
    if (line->columns > COLUMNS_MAX && line->caret > COLUMNS_MAX - COLUMNS_BEFORE)
        first = line->caret - COLUMNS_BEFORE;
    int shown = line->columns - first < COLUMNS_MAX ? line->columns - first : COLUMNS_MAX;
    bool cut_before = first > 0, cut_after = first + shown < line->columns;

    message_add(message, "\n %*d | %s", gutter, line->number, cut_before ? "... " : "");
    const char *at = skip_columns(line, first), *end = line->text + line->bytes;
    for (int i = 0; i < shown; i++)
        at += message_put_character(message, at, (size_t)(end - at));
    message_add(message, "%s\n %*s | ", cut_after ? " ..." : "", gutter, "");

    int caret = line->caret - first;
    int room = shown > caret ? shown - caret : 1;
    message_repeat(message, ' ', caret + (cut_before ? 4 : 0));
    message_repeat(message, '^', line->caret_width < room ? line->caret_width : room);
    if (expected)
        message_add(message, " %s", expected);
}

enum mu_status mu_fail_at(struct mu_log *log, enum mu_error error, const struct mu_place *place,
    const char *expected, const char *help, const char *format, ...)
{
    assert(log);
    struct message message = {.bytes = 0};
    va_list list;
    va_start(list, format);
    message_add_headline(&message, log, error, help, format, list);
    va_end(list);

    struct line line = line_find(place);
    int gutter = snprintf(NULL, 0, "%d", line.number);
    message_add(
        &message, "\n %*s--> %s:%d:%d", gutter, "", place->source, line.number, line.caret + 1);
    message_add(&message, "\n %*s |", gutter, "");
    message_add_line(&message, &line, gutter, expected);
    message_add(&message, "\n %*s = help: %s", gutter, "", help_of(log, error, help));
    log->write(log, MU_LEVEL_ERROR, message.text);
    return mu_error_status(error);
}
