/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/report/timeline.h"
#include "runtime/base/text.h"
#include "runtime/io/folder.h"
#include <stdlib.h>

#define EVENTS_PER_STEP 400 /* what is more is left out */

struct mu_timeline_event {
    enum mu_timeline_kind kind;
    int number;
    int64_t step, since_ns, until_ns;
};

static const struct {
    const char *text;
    int lane;
} kinds[] = {
#define TEXT(name, text, lane) {text, lane},
    MU_TIMELINE_ROWS(TEXT)
#undef TEXT
};

enum mu_status mu_timeline_open(
    struct mu_timeline *timeline, struct mu_world *world, int64_t done, int64_t steps)
{
    *timeline =
        (struct mu_timeline){.world = world, .begin_ns = mu_now(world), .last_step = done + steps};
    if (steps == 0)
        return MU_OK;
    timeline->event_max = (int)(steps * EVENTS_PER_STEP);
    timeline->event = calloc((size_t)timeline->event_max, sizeof(*timeline->event));
    timeline->open = timeline->event != NULL;
    return timeline->open ? MU_OK : MU_NO_MEMORY;
}

void mu_timeline_add(struct mu_timeline *timeline, enum mu_timeline_kind kind, int number,
    int64_t step, int64_t since)
{
    if (!timeline->open || step > timeline->last_step)
        return;
    int place = atomic_fetch_add_explicit(&timeline->event_count, 1, memory_order_relaxed);
    if (place >= timeline->event_max) {
        atomic_store_explicit(&timeline->event_count, timeline->event_max, memory_order_relaxed);
        return;
    }
    timeline->event[place] = (struct mu_timeline_event){.kind = kind,
        .number = number,
        .step = step,
        .since_ns = since,
        .until_ns = mu_now(timeline->world)};
}

static void write_event(
    const struct mu_timeline *timeline, const struct mu_timeline_event *event, struct mu_text *out)
{
    mu_text_add(out, "{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"name\":\"%s", kinds[event->kind].lane,
        kinds[event->kind].text);
    if (event->kind == MU_TIMELINE_EXCHANGE)
        mu_text_add(out, " %d", event->number);
    mu_text_add(out, "\",\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"step\":%lld}}",
        (double)(event->since_ns - timeline->begin_ns) / 1e3,
        (double)(event->until_ns - event->since_ns) / 1e3, (long long)event->step);
}

enum mu_status mu_timeline_write(struct mu_timeline *timeline, struct mu_log *log, const char *path)
{
    if (!timeline->open)
        return MU_OK;
    struct mu_text text;
    mu_text_init(&text);
    mu_text_add(&text,
        "[\n{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\",\"args\":{\"name\":"
        "\"training\"}},\n"
        "{\"ph\":\"M\",\"pid\":1,\"tid\":2,\"name\":\"thread_name\",\"args\":{\"name\":"
        "\"exchange\"}}");
    int count = atomic_load_explicit(&timeline->event_count, memory_order_relaxed);
    for (int i = 0; i < count && i < timeline->event_max; i++) {
        mu_text_add(&text, ",\n");
        write_event(timeline, &timeline->event[i], &text);
    }
    mu_text_add(&text, "\n]\n");
    enum mu_status status = text.failed ? mu_fail(log, MU_E0801, NULL, "no memory for %s", path)
                                        : mu_folder_write(log, path, text.data, text.bytes);
    mu_text_finish(&text);
    mu_timeline_close(timeline);
    return status;
}

void mu_timeline_close(struct mu_timeline *timeline)
{
    free(timeline->event);
    *timeline = (struct mu_timeline){0};
}
