/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_TIMELINE_H
#define MU_ROLES_TIMELINE_H

#include "runtime/base/log.h"
#include "runtime/base/world.h"
#include <stdatomic.h>

/*
 * What the leader's two threads did in its first steps, as a picture: timeline.json in the run
 * directory, in the format of Chrome's traces, which chrome://tracing and ui.perfetto.dev draw.
 * Places are taken by any thread; nothing is allocated after open.
 */
#define MU_TIMELINE_ROWS(ROW)                                                                      \
    ROW(READING, "wait for a batch", 1)                                                            \
    ROW(COMPUTING, "forward and backward", 1)                                                      \
    ROW(WAITING, "wait for the exchange", 1)                                                       \
    ROW(UPDATING, "optimizer step", 1)                                                             \
    ROW(EXCHANGE, "exchange of bucket", 2)

#define MU_TIMELINE_ENUM(name, text, lane) MU_TIMELINE_##name,
enum mu_timeline_kind { MU_TIMELINE_ROWS(MU_TIMELINE_ENUM) MU_TIMELINE_KIND_COUNT };
#undef MU_TIMELINE_ENUM

struct mu_timeline_event;

struct mu_timeline {
    struct mu_world *world;
    int64_t begin_ns;
    int64_t last_step; /* later ones are not drawn */
    struct mu_timeline_event *event;
    int event_max;
    atomic_int event_count; /* may exceed event_max: what did not fit */
    bool open;
};

/* Draws the steps after `done`, `steps` of them; 0: none, all calls do nothing. NO_MEMORY. */
enum mu_status mu_timeline_open(
    struct mu_timeline *timeline, struct mu_world *world, int64_t done, int64_t steps);
/* From `since` to now, for step `step`. `number`: of the bucket. */
void mu_timeline_add(struct mu_timeline *timeline, enum mu_timeline_kind kind, int number,
    int64_t step, int64_t since);
/* Writes what there is to `path` and closes. CANNOT_CREATE, IO_ERROR. Takes one that is not open.
 */
enum mu_status mu_timeline_write(
    struct mu_timeline *timeline, struct mu_log *log, const char *path);
void mu_timeline_close(struct mu_timeline *timeline);

#endif
