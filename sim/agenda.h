/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_AGENDA_H
#define MU_SIM_AGENDA_H

#include "runtime/base/world.h"

/*
 * Virtual time: a clock and the events to come. The clock stands still while anything runs and
 * jumps to the next event when nothing can. Events of one instant happen in the order in which they
 * were armed, so that equal inputs give equal runs.
 */
struct mu_agenda {
    int64_t now_ns;
    uint64_t sequence; /* of the next event that is armed */
    uint64_t happened; /* events in all */
    struct mu_event **heap;
    size_t count, capacity; /* armed; places */
    size_t members;         /* events that exist, armed or not: capacity is never less */
};

/* In its owner's memory, armed again and again. */
struct mu_event {
    struct mu_agenda *agenda;
    void (*happen)(void *owner);
    void *owner;
    int64_t at_ns;
    uint64_t sequence;
    size_t place; /* in the heap, from 1; 0: not armed */
};

void mu_agenda_init(struct mu_agenda *agenda);
void mu_agenda_finish(struct mu_agenda *agenda);
/* Goes to the next event and lets it happen; false if there is none. */
bool mu_agenda_advance(struct mu_agenda *agenda);
/* When the next event is; MU_FOREVER if there is none. */
int64_t mu_agenda_next_ns(const struct mu_agenda *agenda);

/* Makes room for it: arming cannot fail. NO_MEMORY. */
enum mu_status mu_agenda_event_init(
    struct mu_agenda *agenda, struct mu_event *event, void (*happen)(void *owner), void *owner);
void mu_agenda_event_finish(struct mu_event *event); /* takes a zeroed one */
/* Replaces an earlier time. In the past means now; MU_FOREVER means never. */
void mu_agenda_arm(struct mu_event *event, int64_t at_ns);
void mu_agenda_disarm(struct mu_event *event);

#endif
