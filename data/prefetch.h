/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_PREFETCH_H
#define MU_DATA_PREFETCH_H

#include "data/plan.h"
#include "muster/dataset.h"
#include "runtime/base/world.h"

/*
 * Reads batches ahead on a thread of the world: `depth` buffers go round between the reader and the
 * training thread. The reader owns the plan from create to destroy.
 *
 * Where all processors compute anyway (`crowded`) a thread gains nothing: it takes the processor of
 * who computes there, perhaps a replica that all others wait for then. So a batch of a data set in
 * memory is read when it is wanted, by who wants it. Text that has yet to be parsed is read ahead
 * all the same: it may wait for a disk.
 */
struct mu_prefetch;

struct mu_prefetch_batch {
    struct mu_batch batch;
    size_t global_count; /* rows of all replicas at this step */
    int64_t epoch;       /* that this step belongs to */
    int64_t step;        /* global step within the present stretch of the epoch */
};

struct mu_prefetch_options {
    struct mu_world *world;
    const struct mu_dataset_ops *ops;
    void *dataset;                   /* borrowed */
    size_t feature_count, entry_max; /* as in the data set's facts */
    bool find_different; /* batch.different is set, for who brings embedding rows; of sparse data */
    struct mu_log *log;  /* for read_sparse */
    struct mu_plan *plan; /* begun: reading starts at `first_step` of its present stretch */
    int64_t first_step;
    int replica;
    int depth; /* 2 or more */
    bool crowded;
    /* What is done already of a later epoch (a resumed run of asynchronous replicas may have begun
     * several): fills the stretches for mu_plan_begin and returns how many. On whichever reads;
     * NULL: later epochs are whole. An epoch that has nothing left is passed over. */
    int (*done)(void *owner, int64_t epoch, struct mu_stretch ret_done[MU_STRETCHES_MAX]);
    void *owner;
};

/* NO_MEMORY, UNAVAILABLE (no thread). Nothing is read before create; memory for all is taken here:
 * next and done allocate nothing. */
enum mu_status mu_prefetch_create(
    const struct mu_prefetch_options *options, struct mu_prefetch **ret_prefetch);
/* Ends the reader; takes NULL. */
void mu_prefetch_destroy(struct mu_prefetch *prefetch);
/* The next batch, borrowed until done; waits for the reader. After the last step of an epoch the
 * next epoch begins by itself, as a whole new stretch. TIMEOUT at the deadline. What read_sparse
 * returned and said, once the batches before are taken, and from then on: reading has ended. Up
 * to `depth` batches may be held at a time. */
enum mu_status mu_prefetch_next(
    struct mu_prefetch *prefetch, int64_t deadline_ns, const struct mu_prefetch_batch **ret_batch);
/* With the oldest batch that is held. */
void mu_prefetch_done(struct mu_prefetch *prefetch);

#endif
