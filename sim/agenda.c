/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/agenda.h"
#include <stdlib.h>
#include <string.h>

void mu_agenda_init(struct mu_agenda *agenda)
{
    memset(agenda, 0, sizeof(*agenda));
}

void mu_agenda_finish(struct mu_agenda *agenda)
{
    assert(agenda->members == 0);
    free(agenda->heap);
    agenda->heap = NULL;
}

static bool is_before(const struct mu_event *a, const struct mu_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

/* Places count from 1, so that the children of p are 2p and 2p + 1. */
static void put(struct mu_agenda *agenda, size_t place, struct mu_event *event)
{
    agenda->heap[place - 1] = event;
    event->place = place;
}

static void sift_up(struct mu_agenda *agenda, struct mu_event *event)
{
    size_t place = event->place;
    while (place > 1 && is_before(event, agenda->heap[place / 2 - 1])) {
        put(agenda, place, agenda->heap[place / 2 - 1]);
        place /= 2;
    }
    put(agenda, place, event);
}

static void sift_down(struct mu_agenda *agenda, struct mu_event *event)
{
    size_t place = event->place;
    for (;;) {
        size_t child = 2 * place;
        if (child > agenda->count)
            break;
        if (child < agenda->count && is_before(agenda->heap[child], agenda->heap[child - 1]))
            child++;
        if (!is_before(agenda->heap[child - 1], event))
            break;
        put(agenda, place, agenda->heap[child - 1]);
        place = child;
    }
    put(agenda, place, event);
}

int64_t mu_agenda_next_ns(const struct mu_agenda *agenda)
{
    return agenda->count ? agenda->heap[0]->at_ns : MU_FOREVER;
}

bool mu_agenda_advance(struct mu_agenda *agenda)
{
    if (!agenda->count)
        return false;
    struct mu_event *event = agenda->heap[0];
    assert(event->at_ns >= agenda->now_ns);
    mu_agenda_disarm(event);
    agenda->now_ns = event->at_ns;
    agenda->happened++;
    event->happen(event->owner);
    return true;
}

enum mu_status mu_agenda_event_init(
    struct mu_agenda *agenda, struct mu_event *event, void (*happen)(void *owner), void *owner)
{
    assert(happen != NULL);
    if (agenda->members == agenda->capacity) {
        size_t capacity = agenda->capacity ? 2 * agenda->capacity : 64;
        void *heap = realloc(agenda->heap, capacity * sizeof(*agenda->heap));
        if (!heap)
            return MU_NO_MEMORY;
        agenda->heap = heap;
        agenda->capacity = capacity;
    }
    agenda->members++;
    *event = (struct mu_event){.agenda = agenda, .happen = happen, .owner = owner};
    return MU_OK;
}

void mu_agenda_event_finish(struct mu_event *event)
{
    if (!event->agenda)
        return;
    mu_agenda_disarm(event);
    event->agenda->members--;
    event->agenda = NULL;
}

void mu_agenda_arm(struct mu_event *event, int64_t at_ns)
{
    struct mu_agenda *agenda = event->agenda;
    mu_agenda_disarm(event);
    if (at_ns == MU_FOREVER)
        return;
    event->at_ns = at_ns > agenda->now_ns ? at_ns : agenda->now_ns;
    event->sequence = agenda->sequence++;
    assert(agenda->count < agenda->capacity);
    agenda->count++;
    event->place = agenda->count;
    sift_up(agenda, event);
}

void mu_agenda_disarm(struct mu_event *event)
{
    if (!event->place)
        return;
    struct mu_agenda *agenda = event->agenda;
    size_t place = event->place;
    struct mu_event *last = agenda->heap[agenda->count - 1];
    agenda->count--;
    event->place = 0;
    if (last == event)
        return;
    last->place = place;
    sift_up(agenda, last);
    sift_down(agenda, last);
}
