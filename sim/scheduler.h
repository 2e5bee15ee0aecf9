/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_SIM_SCHEDULER_H
#define MU_SIM_SCHEDULER_H

#include "runtime/base/log.h"
#include "runtime/base/text.h"
#include "sim/agenda.h"
#include "sim/fiber.h"

/*
 * Who runs next. A strand is one simulated thread: a fiber and what it waits for. A crew is all the
 * strands of one task; a crew can be stopped for a while and killed. Strands that can run do so in
 * the order in which they became able to, each until it waits; only then does time pass.
 */
#define MU_STRAND_NAME_MAX 64

struct mu_strand {
    struct mu_scheduler *scheduler;
    struct mu_crew *crew;
    struct mu_fiber *fiber;
    void (*run)(void *argument);
    void *argument;
    char name[MU_STRAND_NAME_MAX]; /* "worker/0 main" */
    bool awaited;                  /* the run lasts until it has ended */

    enum { MU_STRAND_READY, MU_STRAND_RUNNING, MU_STRAND_WAITING, MU_STRAND_ENDED } state;
    const char *waits_for; /* for reports */
    bool timed_out;
    int monitors; /* that it is inside of */
    struct mu_event deadline;

    struct mu_strand *next;         /* in the ready or the held queue */
    struct mu_strand *next_in_crew; /* newest first */
};

struct mu_strand_queue {
    struct mu_strand *first, *last;
};

struct mu_crew {
    struct mu_scheduler *scheduler;
    struct mu_strand *strands;
    struct mu_strand_queue held; /* would be ready if the crew were not stopped */
    int stops;                   /* > 0: stopped */
    void *owner;
};

struct mu_scheduler {
    struct mu_agenda agenda;
    struct mu_strand_queue ready;
    struct mu_strand *running;
    int awaited;
    struct mu_crew **crews;
    int crew_count;

    /* A strand of this crew is about to run. May stop or kill crews; true if, and only if, it has
     * done so to this one. NULL: nobody asks. */
    bool (*consult)(void *owner, struct mu_crew *crew);
    void *owner;

    /* Bounds of a run: its virtual time, its events, and how often strands may run in one instant
     * (threads that poll, or that wake each other for ever). */
    int64_t now_ns_max;
    uint64_t events_max, instant_runs_max;
};

/* `crews` is borrowed; each is put in order by this. */
void mu_scheduler_init(struct mu_scheduler *scheduler, struct mu_crew **crews, int crew_count);
void mu_scheduler_finish(struct mu_scheduler *scheduler); /* destroys all strands */
/* Until every awaited strand has ended or was killed. BROKEN, and why in `log`: nothing can ever
 * run again (who waits for what is listed), a bound was passed, or threads were left behind. */
enum mu_status mu_scheduler_run(struct mu_scheduler *scheduler, struct mu_log *log);

/* A strand that is ready to run. NO_MEMORY. */
enum mu_status mu_strand_create(struct mu_crew *crew, const char *name, bool awaited,
    void (*run)(void *argument), void *argument, struct mu_strand **ret_strand);
/* Of one that has ended. */
void mu_strand_destroy(struct mu_strand *strand);
/* From the running strand: waits until it is made ready (true) or the deadline (false). A deadline
 * that has passed lets everything else of this instant run first. */
bool mu_strand_wait(struct mu_scheduler *scheduler, const char *for_what, int64_t deadline_ns);
/* A strand that waits can go on. No effect on others. */
void mu_strand_ready(struct mu_strand *strand);

void mu_crew_stop(struct mu_crew *crew); /* stops nest */
void mu_crew_resume(struct mu_crew *crew);
/* Not while one of its strands runs. */
void mu_crew_kill(struct mu_crew *crew);

#endif
