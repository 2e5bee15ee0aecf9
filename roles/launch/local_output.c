/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/launch/local_output.h"
#include "runtime/base/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READ_BYTES 16384
#define READS_MAX 16 /* in a row from one task, so that a loud one does not silence the others */

static const char clear_line[] = "\r\033[K";
/* Cyan, green, yellow, magenta, blue, and their bright forms: no red, which is for errors. */
static const char *const colours[] = {"36", "32", "33", "35", "34", "96", "92", "93", "95", "94"};

void mu_local_output_init(struct mu_local_output *output, int fd)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct winsize size;
    *output = (struct mu_local_output){.fd = fd};
    mu_text_init(&output->pending);
    output->terminal = isatty(fd) && term && strcmp(term, "dumb") != 0;
    output->colour = output->terminal && (!no_colour || !*no_colour);
    if (output->terminal)
        output->columns = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void mu_local_output_finish(struct mu_local_output *output)
{
    mu_text_finish(&output->pending);
}

/* The first line of several takes the place of the progress line. */
static struct mu_text *begin_line(struct mu_local_output *output)
{
    if (output->pending.bytes == 0 && output->drawn)
        mu_text_append(&output->pending, clear_line, strlen(clear_line));
    return &output->pending;
}

void mu_local_output_flush(struct mu_local_output *output)
{
    char text[sizeof(output->progress) + sizeof(clear_line)];
    struct mu_text *pending = &output->pending;
    bool redraw = pending->bytes > 0 || output->changed;
    if (pending->bytes > 0)
        mu_console_write(output->fd, MU_CONSOLE_LINES, pending->data, pending->bytes);
    if (output->progress[0] && redraw) {
        bool in_place = output->drawn && pending->bytes == 0;
        mu_format(text, sizeof(text), "%s%s", in_place ? clear_line : "", output->progress);
        mu_console_write(output->fd, MU_CONSOLE_PROGRESS, text, strlen(text));
    }
    output->drawn = output->progress[0] != 0 || (output->drawn && pending->bytes == 0);
    output->changed = false;
    mu_text_clear(pending);
}

void mu_local_output_clear(struct mu_local_output *output)
{
    output->progress[0] = 0;
    mu_local_output_flush(output);
    if (output->drawn)
        mu_console_write(output->fd, MU_CONSOLE_PROGRESS, clear_line, strlen(clear_line));
    output->drawn = false;
}

void mu_local_output_say(struct mu_local_output *output, const char *format, ...)
{
    va_list list;
    mu_text_add(begin_line(output), "%s[muster]%s ", output->colour ? "\033[1m" : "",
        output->colour ? "\033[0m" : "");
    va_start(list, format);
    mu_text_add_v(&output->pending, format, list);
    va_end(list);
    mu_text_add(&output->pending, "\n");
}

/* Remembers the line if it may be why the task fails: the last error, or else the last line. */
static void keep_reason(struct mu_local_child *child)
{
    const char *error = strstr(child->line, "error[");
    if (!error)
        error = strstr(child->line, "error: ");
    if (!error && (child->reason_is_error || strspn(child->line, " \t") == child->line_bytes))
        return;
    mu_text_copy(child->reason, sizeof(child->reason), error ? error : child->line);
    child->reason_is_error = error != NULL;
}

/* Who it is and what happened, without what each task sees for itself: when the lost one was heard
 * last, and how its connection ended. */
static size_t reason_bytes(const char *error)
{
    static const char *const own[] = {" died: ", ": nothing heard from it", "; last seen "};
    size_t bytes = strlen(error);
    for (size_t i = 0; i < MU_COUNT_OF(own); i++) {
        const char *at = strstr(error, own[i]);
        if (at && (size_t)(at - error) < bytes)
            bytes = (size_t)(at - error);
    }
    return bytes;
}

static bool said_by_another(struct mu_local_output *output, const char *error, int index)
{
    size_t bytes = reason_bytes(error);
    for (int i = 0; i < output->error_count && i < MU_LOCAL_ERRORS_MAX; i++)
        if (reason_bytes(output->errors[i].text) == bytes &&
            memcmp(output->errors[i].text, error, bytes) == 0)
            return output->errors[i].index != index;
    if (bytes >= sizeof(output->errors[0].text))
        return false;
    int place = output->error_count++ % MU_LOCAL_ERRORS_MAX;
    output->errors[place].index = index;
    mu_text_copy(output->errors[place].text, sizeof(output->errors[0].text), error);
    return false;
}

/* An error, or that a task is lost without which the run goes on, or for which it waits, or which
 * is back. */
static bool is_for_all(const char *line)
{
    bool is_loss = strncmp(line, "warning: ", 9) == 0 && reason_bytes(line) < strlen(line);
    bool is_back = strstr(line, " is back after ") && strstr(line, "; updates lost: ");
    return is_loss || is_back || strncmp(line, "error[", 6) == 0;
}

/* What another task has said, or one of the lines below it, which begin with a blank. */
static bool is_repeated(struct mu_local_output *output, struct mu_local_child *child, int index)
{
    if (child->line[0] != ' ')
        child->repeats = is_for_all(child->line) && said_by_another(output, child->line, index);
    return child->repeats;
}

static void emit_line(struct mu_local_output *output, struct mu_local_child *child, int index)
{
    child->line[child->line_bytes] = 0;
    keep_reason(child);
    if (is_repeated(output, child, index)) {
        child->line_bytes = 0;
        return;
    }
    begin_line(output);
    if (output->colour)
        mu_text_add(&output->pending, "\033[%sm[%s]\033[0m ",
            colours[(size_t)index % MU_COUNT_OF(colours)], child->name);
    else
        mu_text_add(&output->pending, "[%s] ", child->name);
    mu_text_append(&output->pending, child->line, child->line_bytes);
    mu_text_add(&output->pending, "\n");
    child->line_bytes = 0;
}

/* Cuts a text to so many columns: one for each byte that starts a character. */
static void cut_columns(char *text, int columns)
{
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80 && columns-- <= 0)
            *text = 0, text--;
}

static void set_progress(
    struct mu_local_output *output, struct mu_local_child *child, bool is_leader)
{
    child->line[child->line_bytes] = 0;
    child->line_bytes = 0;
    if (!is_leader || !output->terminal)
        return;
    mu_text_copy(output->progress, sizeof(output->progress), child->line);
    /* The last column stays free: writing it would wrap on some terminals. */
    cut_columns(output->progress, output->columns - 1);
    output->changed = true;
}

static void take_bytes(struct mu_local_output *output, struct mu_local_child *child, int index,
    bool is_leader, const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        bool overwrites = data[i] == '\r' && !(i + 1 < bytes && data[i + 1] == '\n');
        if (overwrites)
            set_progress(output, child, is_leader);
        else if (data[i] == '\n')
            emit_line(output, child, index);
        else if (data[i] != '\r')
            child->line[child->line_bytes++] = data[i];
        /* A line that is too long is shown in pieces; the byte left is for the NUL. */
        if (child->line_bytes == MU_LOCAL_LINE_MAX - 1)
            emit_line(output, child, index);
    }
}

bool mu_local_output_take(
    struct mu_local_output *output, struct mu_local_child *child, int index, bool is_leader)
{
    char data[READ_BYTES];
    for (int reads = 0; reads < READS_MAX; reads++) {
        ssize_t bytes = read(child->output_fd, data, sizeof(data));
        if (bytes > 0)
            take_bytes(output, child, index, is_leader, data, (size_t)bytes);
        else if (bytes < 0 && errno == EAGAIN)
            return true;
        else if (bytes == 0 || errno != EINTR)
            return false;
    }
    return true;
}

void mu_local_output_end(struct mu_local_output *output, struct mu_local_child *child, int index)
{
    if (child->line_bytes > 0)
        emit_line(output, child, index);
}
