/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/server/server_answers.h"
#include <stdlib.h>

enum mu_status mu_ps_answers_init(
    struct mu_ps_answers *answers, int worker_count, int in_flight_max)
{
    *answers = (struct mu_ps_answers){.count = 2 * (size_t)in_flight_max};
    answers->kept = calloc((size_t)worker_count * answers->count, sizeof(*answers->kept));
    return answers->kept ? MU_OK : MU_NO_MEMORY;
}

void mu_ps_answers_finish(struct mu_ps_answers *answers)
{
    free(answers->kept);
    *answers = (struct mu_ps_answers){0};
}

static struct mu_ps_answer *answer_of(
    const struct mu_ps_answers *answers, int worker, uint64_t sequence)
{
    return &answers->kept[(size_t)worker * answers->count + sequence % answers->count];
}

void mu_ps_answers_add(struct mu_ps_answers *answers, int worker, const struct mu_ps_answer *told)
{
    struct mu_ps_answer *answer = answer_of(answers, worker, told->sequence);
    *answer = *told;
    answer->is_there = true;
}

struct mu_ps_answer *mu_ps_answers_find(
    const struct mu_ps_answers *answers, int worker, uint64_t sequence)
{
    struct mu_ps_answer *answer = answer_of(answers, worker, sequence);
    return answer->is_there && answer->sequence == sequence ? answer : NULL;
}

void mu_ps_answers_forget(struct mu_ps_answers *answers, int worker)
{
    for (size_t i = 0; i < answers->count; i++)
        answer_of(answers, worker, i)->is_there = false;
}
