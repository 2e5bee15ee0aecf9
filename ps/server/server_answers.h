/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_SERVER_ANSWERS_H
#define MU_PS_SERVER_ANSWERS_H

#include "ps/ps_bodies.h"

/*
 * What workers were told of their last pushes and pulls, so that what comes again is carried out
 * once and answered again. A worker's unanswered numbers lie less than 2 * in_flight_max apart: so
 * many answers of each are kept, those of its incarnation.
 */
struct mu_ps_answer {
    uint64_t sequence, tag;
    uint32_t link_number; /* the link it was told on */
    bool is_there;
    bool quiet; /* it was not told */
    struct mu_ps_fresh_body fresh;
};

struct mu_ps_answers {
    struct mu_ps_answer *kept; /* (worker_count, count); NULL: nobody comes back */
    size_t count;              /* of one worker */
};

enum mu_status mu_ps_answers_init(
    struct mu_ps_answers *answers, int worker_count, int in_flight_max); /* NO_MEMORY */
void mu_ps_answers_finish(struct mu_ps_answers *answers);                /* takes a zeroed one */
void mu_ps_answers_add(struct mu_ps_answers *answers, int worker, const struct mu_ps_answer *told);
/* NULL: this number was not answered, or is long forgotten. */
struct mu_ps_answer *mu_ps_answers_find(
    const struct mu_ps_answers *answers, int worker, uint64_t sequence);
/* The worker's numbers begin anew: it is another incarnation. */
void mu_ps_answers_forget(struct mu_ps_answers *answers, int worker);

#endif
