/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_PLAN_H
#define MU_DATA_PLAN_H

#include "runtime/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which samples a replica reads at which step: every sample exactly once an epoch, whatever the
 * number of replicas, and also when the run is resumed in the middle of an epoch with another
 * number of replicas or another batch.
 *
 * The order of an epoch is a permutation drawn from (seed, epoch): of samples, or of blocks of them
 * that follow each other where they are read from a file; or it is the order of the file. A stretch
 * is a part of an epoch that was worked with one number of replicas and one batch per replica.
 * Global step s of a stretch takes the next replica_count * batch samples of what the stretches
 * before it left (fewer at the end of the epoch), cut evenly among the replicas in rank order:
 * sizes differ by at most one, the first replicas have the larger ones, and some may be empty in
 * the last step.
 *
 *   permutation  | step 0: r0 r1 r2 | step 1: r0 r1 r2 | ... | last: r0 r1 - |
 *
 * In synchronous mode all replicas of a stretch have done the same number of steps. In asynchronous
 * mode each has its own, and what is left is what no replica has taken.
 *
 * What one process has done of many epochs is one stretch too: a replica reads the epochs one after
 * the other, so it is enough to know which one it is in, and how many steps of that it has done.
 * How far replicas are apart makes no difference to that.
 */
#define MU_STRETCHES_MAX 16
#define MU_REPLICAS_MAX 1024
#define MU_PLAN_BLOCK_MAX (1 << 20)

struct mu_stretch {
    int replica_count;
    int batch;           /* per replica */
    int64_t *steps_done; /* (replica_count), in this stretch; owned by who made it */
    /* (replica_count) The epoch that each is in, with those steps done; all of its part of those
     * before it is done, and nothing of those after it. NULL: the stretch is of one epoch. */
    int64_t *epochs;
};

/* Steps of `epoch` that a replica has done; INT64_MAX: all that it had. */
static inline int64_t mu_stretch_done(const struct mu_stretch *stretch, int64_t epoch, int replica)
{
    int64_t at = stretch->epochs ? stretch->epochs[replica] : epoch;
    return at == epoch ? stretch->steps_done[replica] : at > epoch ? INT64_MAX : 0;
}

struct mu_plan {
    uint64_t seed;
    size_t sample_count;
    size_t block;    /* samples that stay together; 0: all of them */
    uint32_t *order; /* (sample_count) */
    size_t left;     /* samples that the present stretch has to work on: order[0 .. left) */
    int64_t epoch;
    int replica_count, batch; /* of the present stretch */
    int replicas_all;         /* the same where epochs are shared */
    int64_t alone_epochs;     /* the first ones, which replica 0 reads alone */
    int64_t step_count;       /* global steps of the present stretch until the epoch ends */
};

/* On success the plan stands at the first step of epoch 0, before any stretch, and each sample is
 * drawn by itself. NO_MEMORY. */
enum mu_status mu_plan_init(struct mu_plan *plan, uint64_t seed, size_t sample_count);
void mu_plan_finish(struct mu_plan *plan);

/* From the next mu_plan_begin on: blocks of so many samples are drawn, up to MU_PLAN_BLOCK_MAX; 1:
 * each sample by itself; 0: none, the order is that of the numbers. It does not change how many
 * samples or steps are left of an epoch, only which. */
void mu_plan_set_block(struct mu_plan *plan, size_t block);

/* From the next mu_plan_begin on: the first so many epochs are a stretch of one replica, 0, however
 * many there are; the others have no step of them. */
void mu_plan_set_alone(struct mu_plan *plan, int64_t epochs);
/* How many of `replica_count` read an epoch of which the first `alone_epochs` are read by one. */
static inline int mu_plan_readers(int64_t alone_epochs, int64_t epoch, int replica_count)
{
    return epoch < alone_epochs ? 1 : replica_count;
}

/* Goes to `epoch`, takes out what the done stretches took, and begins a stretch with these numbers.
 * Allocates nothing. step_count may be 0: nothing is left of this epoch. */
void mu_plan_begin(struct mu_plan *plan, int64_t epoch, const struct mu_stretch *done,
    int done_count, int replica_count, int batch);

/* Steps of the present stretch that a replica takes part in: all or none. */
static inline int64_t mu_plan_steps_of(const struct mu_plan *plan, int replica)
{
    return replica < plan->replica_count ? plan->step_count : 0;
}

/* The samples of `replica` at global step `step` of the present stretch, borrowed; *ret_count may
 * be 0. *ret_global_count is what all replicas read together at that step. */
const uint32_t *mu_plan_samples(const struct mu_plan *plan, int64_t step, int replica,
    size_t *ret_count, size_t *ret_global_count);

/* Steps that a whole epoch has with these numbers and nothing done before. */
int64_t mu_plan_steps(size_t sample_count, int replica_count, int batch);
/* Samples that a replica takes in the first `steps` steps of a stretch over `left` samples;
 * INT64_MAX: in all. */
int64_t mu_plan_share(size_t left, int replica_count, int batch, int replica, int64_t steps);
/* What a stretch that had `left` samples of `epoch` to work on has left of them. */
size_t mu_plan_left(size_t left, const struct mu_stretch *done, int64_t epoch);

#endif
