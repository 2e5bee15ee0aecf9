/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/event_log.h"
#include "runtime/base/text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static void start_line(struct mu_event_log *events, const char *who)
{
    int64_t now_ns = events->agenda->now_ns;
    fprintf(
        events->file, "%" PRId64 ".%09" PRId64 " %s ", now_ns / MU_SECOND, now_ns % MU_SECOND, who);
}

void mu_event_log_line(struct mu_event_log *events, const char *who, const char *format, ...)
{
    if (!events->file)
        return;
    start_line(events, who);
    va_list list;
    va_start(list, format);
    vfprintf(events->file, format, list);
    va_end(list);
    fputc('\n', events->file);
}

static void write_lines(
    struct mu_event_log *events, const char *who, enum mu_level level, const char *text)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    while (*text) {
        size_t bytes = strcspn(text, "\n");
        start_line(events, who);
        fprintf(events->file, "%s: %.*s\n", levels[level], (int)bytes, text);
        text += bytes + (text[bytes] == '\n');
    }
}

static void sink_write(struct mu_log *log, enum mu_level level, const char *text)
{
    struct mu_event_sink *sink = log->owner;
    if (sink->events->file)
        write_lines(sink->events, log->task, level, text);
    if (sink->also)
        mu_say(sink->also, level, "%s: %s", log->task, text);
}

void mu_event_log_sink_init(struct mu_event_sink *sink, struct mu_event_log *events,
    const char *task, enum mu_level level, struct mu_log *also)
{
    memset(sink, 0, sizeof(*sink));
    sink->events = events;
    sink->also = also;
    sink->log.write = sink_write;
    sink->log.owner = sink;
    sink->log.level = level;
    mu_text_copy(sink->log.task, sizeof(sink->log.task), task);
}
