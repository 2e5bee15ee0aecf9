/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/progress.h"
#include "runtime/base/console.h"
#include "runtime/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_BYTES 512
#define FIELD_BYTES 64
#define BAR_CELLS 10
#define REDRAW_NS INT64_C(100000000) /* on a terminal */
#define LINE_NS INT64_C(10000000000) /* elsewhere */
#define COLUMNS_FALLBACK 80

/* The fields from left to right. */
enum field {
    FIELD_EPOCH,
    FIELD_BAR,
    FIELD_PERCENT,
    FIELD_STEP,
    FIELD_LOSS,
    FIELD_ACCURACY,
    FIELD_RATE,
    FIELD_LEFT,
    FIELD_ALIVE,
    FIELD_COUNT,
};

/* What goes first where the line is too long; who is missing goes last, the step never. */
static const enum field least_first[] = {FIELD_BAR, FIELD_PERCENT, FIELD_LEFT, FIELD_RATE,
    FIELD_ACCURACY, FIELD_EPOCH, FIELD_LOSS, FIELD_ALIVE};

struct fields {
    char text[FIELD_COUNT][FIELD_BYTES]; /* "": not shown */
};

static double share_done(const struct mu_progress *progress)
{
    if (progress->steps_total <= 0)
        return 0;
    double share = (double)progress->step / (double)progress->steps_total;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void format_bar(double share, bool utf8, char out[FIELD_BYTES])
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int full = (int)(share * BAR_CELLS * 8);
    size_t bytes = 0;
    for (int cell = 0; cell < BAR_CELLS; cell++) {
        int part = full - cell * 8;
        const char *glyph = part >= 8 ? (utf8 ? "█" : "#")
                            : !utf8   ? "."
                                      : eighths[part > 0 ? part : 0];
        bytes += (size_t)snprintf(out + bytes, FIELD_BYTES - bytes, "%s", glyph);
    }
}

/* "11.2k/s": three digits are what changes slowly enough to be read. */
static void format_rate(double rate, char out[FIELD_BYTES])
{
    static const char *const units[] = {"", "k", "M", "G"};
    size_t unit = 0;
    for (; rate >= 999.5 && unit + 1 < MU_COUNT_OF(units); unit++)
        rate /= 1000;
    snprintf(out, FIELD_BYTES, "%.*f%s/s", unit > 0 && rate < 99.95 ? 1 : 0, rate, units[unit]);
}

/* Whole seconds, rounded up: "1 s left" until it is over. */
static void format_left(double seconds, char out[FIELD_BYTES])
{
    int64_t whole = (int64_t)ceil(seconds);
    char text[FIELD_BYTES - 8];
    if (whole < 60)
        snprintf(text, sizeof(text), "%d s", (int)(whole > 0 ? whole : 1));
    else
        mu_text_duration(text, sizeof(text), whole * INT64_C(1000000000));
    snprintf(out, FIELD_BYTES, "%s left", text);
}

static void format_alive(const struct mu_progress *progress, char out[FIELD_BYTES])
{
    if (progress->missing)
        snprintf(out, FIELD_BYTES, "%d/%d alive, %.24s is not", progress->alive, progress->tasks,
            progress->missing);
    else
        snprintf(out, FIELD_BYTES, "%d/%d alive", progress->alive, progress->tasks);
}

static void fill_fields(const struct mu_progress *progress, bool utf8, struct fields *fields)
{
    memset(fields, 0, sizeof(*fields));
    double share = share_done(progress);
    if (progress->epochs > 0)
        snprintf(fields->text[FIELD_EPOCH], FIELD_BYTES, "epoch %lld/%lld",
            (long long)progress->epoch, (long long)progress->epochs);
    else
        snprintf(fields->text[FIELD_EPOCH], FIELD_BYTES, "epoch %lld", (long long)progress->epoch);
    format_bar(share, utf8, fields->text[FIELD_BAR]);
    snprintf(fields->text[FIELD_PERCENT], FIELD_BYTES, "%3d %%", (int)(share * 100));
    snprintf(fields->text[FIELD_STEP], FIELD_BYTES, "step %lld/%lld", (long long)progress->step,
        (long long)progress->steps_total);
    if (!isnan(progress->loss))
        snprintf(fields->text[FIELD_LOSS], FIELD_BYTES, "loss %.3g", progress->loss);
    if (!isnan(progress->accuracy))
        snprintf(
            fields->text[FIELD_ACCURACY], FIELD_BYTES, "acc %.1f %%", 100 * progress->accuracy);
    if (progress->samples_per_second > 0)
        format_rate(progress->samples_per_second, fields->text[FIELD_RATE]);
    if (progress->seconds_left >= 0 && progress->seconds_left < 1e9)
        format_left(progress->seconds_left, fields->text[FIELD_LEFT]);
    format_alive(progress, fields->text[FIELD_ALIVE]);
}

/* Two spaces between fields, one around the bar. */
static const char *gap_after(const struct fields *fields, enum field field)
{
    if (field == FIELD_EPOCH && fields->text[FIELD_BAR][0])
        return " ";
    return field == FIELD_BAR ? " " : "  ";
}

static void join_fields(const struct fields *fields, char out[LINE_BYTES])
{
    size_t bytes = 0;
    const char *gap = "";
    for (enum field field = 0; field < FIELD_COUNT; field++) {
        if (!fields->text[field][0])
            continue;
        bytes +=
            (size_t)snprintf(out + bytes, LINE_BYTES - bytes, "%s%s", gap, fields->text[field]);
        gap = gap_after(fields, field);
    }
}

/* Columns on a screen: bytes that begin a character. All glyphs used here are one column wide. */
static int columns_of(const char *line)
{
    int columns = 0;
    for (; *line; line++)
        columns += ((unsigned char)*line & 0xc0) != 0x80;
    return columns;
}

void mu_progress_format(
    const struct mu_progress *progress, int columns, bool utf8, char *out, size_t bytes)
{
    struct fields fields;
    char line[LINE_BYTES];
    fill_fields(progress, utf8, &fields);
    join_fields(&fields, line);
    for (size_t i = 0; i < MU_COUNT_OF(least_first) && columns_of(line) > columns; i++) {
        fields.text[least_first[i]][0] = '\0';
        join_fields(&fields, line);
    }
    mu_text_copy(out, bytes, line);
}

static bool locale_is_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < MU_COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0])
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static bool is_terminal(int fd)
{
    const char *kind = getenv("TERM");
    return isatty(fd) && kind && strcmp(kind, "dumb") != 0;
}

static int columns_now(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    int64_t columns;
    const char *variable = getenv("COLUMNS");
    if (variable && mu_text_to_int64(variable, &columns) && columns > 0 && columns < LINE_BYTES)
        return (int)columns;
    return COLUMNS_FALLBACK;
}

void mu_progress_display_init(
    struct mu_progress_display *display, int fd, bool launched, bool enabled)
{
    *display = (struct mu_progress_display){
        .fd = fd,
        .terminal = is_terminal(fd),
        .launched = launched,
        .utf8 = locale_is_utf8(),
        .enabled = enabled,
        .next_ns = INT64_MIN,
    };
}

/* One write, so that lines of several threads do not mix. A screen that is gone, or stopped, stops
 * nothing. */
static void put(const struct mu_progress_display *display, const char *text)
{
    mu_console_write(display->fd, MU_CONSOLE_PROGRESS, text, strlen(text));
}

void mu_progress_show(struct mu_progress_display *display, const struct mu_progress *progress,
    int64_t now_ns, bool force)
{
    if (!display->enabled || (!force && now_ns < display->next_ns))
        return;
    bool overwrites = display->terminal || display->launched;
    display->next_ns = now_ns + (overwrites ? REDRAW_NS : LINE_NS);
    char line[LINE_BYTES], text[LINE_BYTES + 16];
    int columns = overwrites ? columns_now(display->fd) - 1 : LINE_BYTES;
    mu_progress_format(progress, columns, display->utf8, line, sizeof(line));
    if (display->terminal)
        mu_format(text, sizeof(text), "\r%s\033[K", line);
    else
        mu_format(text, sizeof(text), "%s%c", line, display->launched ? '\r' : '\n');
    put(display, text);
    display->drawn = display->terminal;
}

void mu_progress_clear(struct mu_progress_display *display)
{
    if (display->drawn)
        put(display, "\r\033[K");
    display->drawn = false;
}
