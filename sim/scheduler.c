/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scheduler.h"
#include <stdlib.h>
#include <string.h>

static void queue_append(struct mu_strand_queue *queue, struct mu_strand *strand)
{
    strand->next = NULL;
    if (queue->last)
        queue->last->next = strand;
    else
        queue->first = strand;
    queue->last = strand;
}

static struct mu_strand *queue_take(struct mu_strand_queue *queue)
{
    struct mu_strand *strand = queue->first;
    if (!strand)
        return NULL;
    queue->first = strand->next;
    if (!queue->first)
        queue->last = NULL;
    strand->next = NULL;
    return strand;
}

/* Moves the strands of one crew to the end of another queue, or nowhere; the order stays. */
static void queue_sift(
    struct mu_strand_queue *queue, const struct mu_crew *crew, struct mu_strand_queue *to)
{
    struct mu_strand_queue rest = {NULL, NULL};
    struct mu_strand *strand;
    while ((strand = queue_take(queue)) != NULL) {
        if (strand->crew != crew)
            queue_append(&rest, strand);
        else if (to)
            queue_append(to, strand);
    }
    *queue = rest;
}

void mu_scheduler_init(struct mu_scheduler *scheduler, struct mu_crew **crews, int crew_count)
{
    memset(scheduler, 0, sizeof(*scheduler));
    mu_agenda_init(&scheduler->agenda);
    scheduler->crews = crews;
    scheduler->crew_count = crew_count;
    scheduler->now_ns_max = MU_FOREVER;
    scheduler->events_max = UINT64_MAX;
    scheduler->instant_runs_max = UINT64_MAX;
    for (int i = 0; i < crew_count; i++)
        *crews[i] = (struct mu_crew){.scheduler = scheduler, .owner = crews[i]->owner};
}

void mu_scheduler_finish(struct mu_scheduler *scheduler)
{
    for (int i = 0; i < scheduler->crew_count; i++)
        mu_crew_kill(scheduler->crews[i]);
    mu_agenda_finish(&scheduler->agenda);
}

/* ---- strands ---- */

static void make_ready(struct mu_strand *strand)
{
    struct mu_crew *crew = strand->crew;
    mu_agenda_disarm(&strand->deadline);
    strand->state = MU_STRAND_READY;
    queue_append(crew->stops ? &crew->held : &strand->scheduler->ready, strand);
}

static void on_deadline(void *owner)
{
    struct mu_strand *strand = owner;
    strand->timed_out = true;
    make_ready(strand);
}

static void strand_main(void *argument)
{
    struct mu_strand *strand = argument;
    strand->run(strand->argument);
    assert(strand->monitors == 0);
}

enum mu_status mu_strand_create(struct mu_crew *crew, const char *name, bool awaited,
    void (*run)(void *argument), void *argument, struct mu_strand **ret_strand)
{
    enum mu_status status = MU_NO_MEMORY;
    struct mu_scheduler *scheduler = crew->scheduler;
    struct mu_strand *strand = calloc(1, sizeof(*strand));
    if (!strand)
        return MU_NO_MEMORY;
    strand->scheduler = scheduler;
    strand->crew = crew;
    strand->run = run;
    strand->argument = argument;
    strand->awaited = awaited;
    mu_text_copy(strand->name, sizeof(strand->name), name);
    status = mu_agenda_event_init(&scheduler->agenda, &strand->deadline, on_deadline, strand);
    if (status != MU_OK)
        goto free_strand;
    status = mu_fiber_create(strand_main, strand, &strand->fiber);
    if (status != MU_OK)
        goto finish_event;
    scheduler->awaited += awaited;
    strand->next_in_crew = crew->strands;
    crew->strands = strand;
    make_ready(strand);
    *ret_strand = strand;
    return MU_OK;

finish_event:
    mu_agenda_event_finish(&strand->deadline);
free_strand:
    free(strand);
    return status;
}

/* Whatever its state. */
static void discard(struct mu_strand *strand)
{
    struct mu_strand **at = &strand->crew->strands;
    while (*at != strand)
        at = &(*at)->next_in_crew;
    *at = strand->next_in_crew;
    mu_agenda_event_finish(&strand->deadline);
    mu_fiber_destroy(strand->fiber);
    free(strand);
}

void mu_strand_destroy(struct mu_strand *strand)
{
    assert(strand->state == MU_STRAND_ENDED);
    discard(strand);
}

bool mu_strand_wait(struct mu_scheduler *scheduler, const char *for_what, int64_t deadline_ns)
{
    struct mu_strand *strand = scheduler->running;
    assert(strand);
    assert(strand->monitors == 0); /* the code inside a monitor must not block */
    strand->waits_for = for_what;
    strand->timed_out = false;
    strand->state = MU_STRAND_WAITING;
    mu_agenda_arm(&strand->deadline, deadline_ns);
    mu_fiber_suspend();
    assert(scheduler->running == strand);
    return !strand->timed_out;
}

void mu_strand_ready(struct mu_strand *strand)
{
    if (strand->state == MU_STRAND_WAITING)
        make_ready(strand);
}

/* ---- crews ---- */

void mu_crew_stop(struct mu_crew *crew)
{
    if (crew->stops++ == 0)
        queue_sift(&crew->scheduler->ready, crew, &crew->held);
}

void mu_crew_resume(struct mu_crew *crew)
{
    assert(crew->stops > 0);
    if (--crew->stops == 0)
        queue_sift(&crew->held, crew, &crew->scheduler->ready);
}

void mu_crew_kill(struct mu_crew *crew)
{
    struct mu_scheduler *scheduler = crew->scheduler;
    assert(!scheduler->running || scheduler->running->crew != crew);
    queue_sift(&scheduler->ready, crew, NULL);
    crew->held = (struct mu_strand_queue){NULL, NULL};
    crew->stops = 0;
    while (crew->strands) {
        struct mu_strand *strand = crew->strands;
        scheduler->awaited -= strand->awaited && strand->state != MU_STRAND_ENDED;
        discard(strand);
    }
}

/* ---- the run ---- */

static void run_strand(struct mu_scheduler *scheduler, struct mu_strand *strand)
{
    scheduler->running = strand;
    strand->state = MU_STRAND_RUNNING;
    mu_fiber_resume(strand->fiber);
    scheduler->running = NULL;
    if (!mu_fiber_ended(strand->fiber))
        return;
    strand->state = MU_STRAND_ENDED;
    scheduler->awaited -= strand->awaited;
}

static void describe_strand(const struct mu_strand *strand, struct mu_text *text)
{
    static const char *const states[] = {"could run", "runs", "waits for ", "has ended"};
    bool waits = strand->state == MU_STRAND_WAITING;
    mu_text_add(
        text, "\n  %s %s%s", strand->name, states[strand->state], waits ? strand->waits_for : "");
    if (waits && strand->deadline.place)
        mu_text_add(text, " until %.9f s", (double)strand->deadline.at_ns / 1e9);
    if (strand->crew->stops)
        mu_text_add(text, " (stopped)");
}

/* Says what is wrong and what every strand that has not ended does. */
static enum mu_status report(
    const struct mu_scheduler *scheduler, struct mu_log *log, const char *what)
{
    struct mu_text text;
    mu_text_init(&text);
    for (int i = 0; i < scheduler->crew_count; i++) {
        for (const struct mu_strand *s = scheduler->crews[i]->strands; s; s = s->next_in_crew) {
            if (s->state != MU_STRAND_ENDED)
                describe_strand(s, &text);
        }
    }
    double now = (double)scheduler->agenda.now_ns / 1e9;
    enum mu_status status =
        mu_fail(log, MU_E0704, NULL, "at %.9f virtual seconds %s:%.3000s", now, what, text.data);
    mu_text_finish(&text);
    return status;
}

/* What forbids to go on to the next event, or NULL. */
static const char *bound_passed(const struct mu_scheduler *scheduler)
{
    const struct mu_agenda *agenda = &scheduler->agenda;
    if (agenda->count == 0)
        return "nothing can ever run again";
    if (mu_agenda_next_ns(agenda) > scheduler->now_ns_max)
        return "the time of the simulation is over";
    if (agenda->happened >= scheduler->events_max)
        return "there were too many events";
    return NULL;
}

static bool left_behind(const struct mu_scheduler *scheduler)
{
    for (int i = 0; i < scheduler->crew_count; i++) {
        for (const struct mu_strand *s = scheduler->crews[i]->strands; s; s = s->next_in_crew) {
            if (!s->awaited)
                return true;
        }
    }
    return false;
}

/* Runs what can run now; false if there is no end to it. */
static bool run_ready(struct mu_scheduler *scheduler, uint64_t *runs)
{
    while (scheduler->ready.first && scheduler->awaited > 0) {
        if ((*runs)++ == scheduler->instant_runs_max)
            return false;
        struct mu_crew *crew = scheduler->ready.first->crew;
        if (!scheduler->consult || !scheduler->consult(scheduler->owner, crew))
            run_strand(scheduler, queue_take(&scheduler->ready));
    }
    return true;
}

enum mu_status mu_scheduler_run(struct mu_scheduler *scheduler, struct mu_log *log)
{
    struct mu_agenda *agenda = &scheduler->agenda;
    int64_t instant_ns = agenda->now_ns;
    uint64_t runs = 0; /* of strands, in this instant */
    for (;;) {
        if (!run_ready(scheduler, &runs))
            return report(scheduler, log, "time does not go on: somebody polls without waiting");
        if (scheduler->awaited == 0)
            break;
        const char *wrong = bound_passed(scheduler);
        if (wrong)
            return report(scheduler, log, wrong);
        mu_agenda_advance(agenda);
        if (agenda->now_ns != instant_ns)
            runs = 0;
        instant_ns = agenda->now_ns;
    }
    return left_behind(scheduler)
               ? report(scheduler, log, "every task has ended, but threads were never joined")
               : MU_OK;
}
