/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_EVENT_LOG_H
#define MU_SIM_EVENT_LOG_H

#include "runtime/base/log.h"
#include "sim/agenda.h"
#include <stdio.h>

/*
 * events.log: what happened, one line an event,
 *
 *   0.000241024 worker/1 got 4096 bytes from 10.0.0.1:2222
 *
 * (virtual seconds, who, what). Runs with the same options and the same seed write the same bytes.
 */
struct mu_event_log {
    FILE *file; /* borrowed; NULL: nothing is written */
    const struct mu_agenda *agenda;
};

__attribute__((format(printf, 3, 4))) void mu_event_log_line(
    struct mu_event_log *events, const char *who, const char *format, ...);

/* What a task says: every line of it becomes an event, and `also`, if not NULL, is told too. */
struct mu_event_sink {
    struct mu_log log; /* the task's */
    struct mu_event_log *events;
    struct mu_log *also;
};
void mu_event_log_sink_init(struct mu_event_sink *sink, struct mu_event_log *events,
    const char *task, enum mu_level level, struct mu_log *also);

#endif
