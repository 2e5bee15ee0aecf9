/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_POSITIONS_H
#define MU_ROLES_POSITIONS_H

#include "roles/checkpoint/manifest.h"

/*
 * Which samples a run has worked on: what earlier processes did, from the checkpoint they left, and
 * how many steps each replica has done since. From both comes the next checkpoint's list. The same
 * for synchronous runs (all replicas have done the same) and asynchronous ones (each its own).
 *
 * A process is one stretch of the list, however many epochs its replicas are apart. It stays there
 * until all replicas have passed the epochs that it had begun:
 *
 *             epoch 3   4   5   6   ...  1006
 *   replica 0       ==  ==  ==  ==  ===  =       epochs [1006, 4], steps_done [12, 7]
 *   replica 1       ==  =
 */
struct mu_positions {
    uint64_t seed;
    size_t sample_count;
    int replica_count, batch; /* now */
    int64_t epoch;            /* where this process began: the first with something left */
    int before_count;
    struct mu_position before[MU_POSITIONS_MAX]; /* their numbers in `numbers` */
    int64_t *numbers;
    /* What this process has to do of each epoch. One entry for epochs that follow each other and
     * have the same; the last one is for all that come after. */
    struct mu_epochs_alike {
        int64_t first;
        int64_t steps;
        size_t left; /* samples */
        int readers;
    } * alike;
    int alike_count;
    int64_t alone_epochs; /* the first ones, which replica 0 reads alone (data/plan.h) */
    /* Asynchronous: at the end of an epoch there may be less samples than replicas, and whose part
     * is empty pushes nothing: that step is not among those that the servers counted. */
    bool empty_uncounted;
};

/* From a checkpoint's first unfinished epoch and its list (count may be 0). What is left of an
 * epoch that was interrupted MU_STRETCHES_MAX times is given up: nothing is read twice. So are
 * epochs at the beginning as long as the next list might not fit. NO_MEMORY. */
enum mu_status mu_positions_init(struct mu_positions *positions, uint64_t seed, size_t sample_count,
    int replica_count, int batch, int64_t epoch, const struct mu_position *before,
    int before_count);
/* After init: the first so many epochs are replica 0's alone. NO_MEMORY. */
enum mu_status mu_positions_set_alone(struct mu_positions *positions, int64_t epochs);
void mu_positions_finish(struct mu_positions *positions);

/* The list as numbers, to be sent; returns how many there are. `ret_numbers` may be NULL. */
size_t mu_positions_pack(const struct mu_positions *positions, int64_t *ret_numbers);
#define MU_POSITION_NUMBERS_MAX ((int64_t)MU_POSITIONS_MAX * (3 + 2 * MU_REPLICAS_MAX))
/* The other direction: fills list[MU_POSITIONS_MAX], which points into `numbers`. -1 if the numbers
 * are no such list. */
int mu_positions_unpack(int64_t *numbers, size_t count, struct mu_position *ret_list);

/* Stretches done of `epoch` before this process, for mu_plan_begin. */
int mu_positions_done(
    const struct mu_positions *positions, int64_t epoch, struct mu_stretch *ret_done);
/* The epoch that a replica is in after `steps` steps since this process began. */
int64_t mu_positions_epoch(const struct mu_positions *positions, int replica, int64_t steps);
/* Steps that a replica does in this process until the end of epoch `epochs` - 1. */
int64_t mu_positions_steps_left(const struct mu_positions *positions, int replica, int64_t epochs);

/*
 * The list for a checkpoint taken now. `steps_since` (replica_count) counts the steps of each
 * replica since this process began. Fills ret_list[MU_POSITIONS_MAX], whose numbers are in `memory`
 * (see mu_positions_memory) and in `positions`, and returns how many; *ret_epoch is the first epoch
 * that is not finished.
 */
int mu_positions_now(const struct mu_positions *positions, const int64_t *steps_since,
    int64_t *memory, struct mu_position *ret_list, int64_t *ret_epoch);
size_t mu_positions_memory(const struct mu_positions *positions); /* int64_t, for `memory` */
/* Samples of those steps, of all replicas together. */
int64_t mu_positions_samples(const struct mu_positions *positions, const int64_t *steps_since);

#endif
