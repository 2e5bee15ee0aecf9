/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_PS_ARRIVALS_H
#define MU_PS_ARRIVALS_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How long each worker took for each of its gradients, from the answer that sent it on until the
 * gradient was there; and from that, how many backups, or which bound, is best.
 *
 * The times that were measured are played again with every candidate: worker w takes, one after the
 * other, the times that it took, so who is slow stays slow, and who is late for one step is late
 * for the next. The first N order statistics of N + b times alone would promise too much: a worker
 * that takes ten steps for one is missing in nine others.
 *
 *   backups  the most gradients that count in a second: N / (time of a step of the first N). Chen
 * et al. 2016 need about 1 / N times the steps for N times the gradients in a step (137,500 with 50
 * workers, 76,200 with 100), so the time to learn goes as time of a step / N. bound    the smallest
 * with which gradients come at least 95 % as fast as with any up to MU_PS_BOUND_AUTO_MAX: waiting
 * costs time, and each clock more makes gradients staler (Ho et al. 2013), so no more of them than
 * it takes.
 *
 * Pure, but for the memory that init takes. Times are compared exactly and ties are broken by the
 * number of the worker: the same times give the same choice.
 */
#define MU_ARRIVALS_TIMES_MAX 65536 /* of all workers together: what a choice takes is bounded */
#define MU_ARRIVALS_TRIES_MAX 32    /* numbers of backups; with more replicas they are spread */
#define MU_ARRIVALS_NEARLY 0.95

struct mu_arrivals {
    int worker_count, step_count;
    float *seconds; /* (worker_count, step_count) */
    int *count;     /* (worker_count) times that have been added */
    struct mu_arrivals_play *play;
};

/* For `steps` times of each worker, or as many as MU_ARRIVALS_TIMES_MAX has room for. NO_MEMORY. */
enum mu_status mu_arrivals_init(struct mu_arrivals *arrivals, int worker_count, int64_t steps);
uint64_t mu_arrivals_bytes(const struct mu_arrivals *arrivals); /* of memory */
void mu_arrivals_finish(struct mu_arrivals *arrivals);          /* takes a zeroed one */

void mu_arrivals_clear(struct mu_arrivals *arrivals);
/* One more time of a worker; those beyond step_count are left out. */
void mu_arrivals_add(struct mu_arrivals *arrivals, int worker, double seconds);
/* Are all times there? */
bool mu_arrivals_full(const struct mu_arrivals *arrivals);

/* Of a full one: seconds that step_count steps of the first `workers` gradients take, all workers
 * there. */
double mu_arrivals_sync(struct mu_arrivals *arrivals, int workers);
/* Seconds that step_count gradients of each worker take where nobody is more than `bound` ahead of
 * the slowest. */
double mu_arrivals_bounded(struct mu_arrivals *arrivals, int64_t bound);

struct mu_arrivals_choice {
    int64_t value; /* backups, or the bound */
    double gain;   /* gradients that count in a second, by those with 0 */
};

struct mu_arrivals_choice mu_arrivals_choose_backups(struct mu_arrivals *arrivals);
struct mu_arrivals_choice mu_arrivals_choose_bound(struct mu_arrivals *arrivals);

#endif
