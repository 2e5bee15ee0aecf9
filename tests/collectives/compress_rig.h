/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_COMPRESS_RIG_H
#define MU_TEST_COMPRESS_RIG_H

#include "collectives/compress/compressor.h"
#include "rank_threads.h"
#include "runtime/tensor/layout.h"

/* Replicas that exchange gradients through one compressor. */
#define RIG_BUCKETS_MAX 8

struct compress_rig;

struct compress_replica {
    struct compress_rig *rig;
    struct mu_group group;
    void *state;
    float *residual, *data; /* (element_count) */
    double *total;          /* (element_count) of what came out */
    uint64_t sent_bytes;
    int culprit;
};

struct compress_rig {
    struct ranks ranks;
    const struct mu_compressor_ops *ops;
    struct mu_layout layout;
    struct mu_span bucket[RIG_BUCKETS_MAX];
    int bucket_count;
    /* Fills `data` before each step. */
    void (*gradient)(struct compress_replica *replica, int64_t step);
    int64_t step; /* the next */
    int64_t steps;
    int64_t patience_ns;
    _Alignas(16) char options[256];
    struct compress_replica replica[RANKS_MAX];
};

/* Two dense layers with a convolution between: gaps, vectors and tensors. */
void compress_rig_layout(struct mu_layout *layout);
/* "density=0.1", NULL-terminated; one bucket, the gradient of compress_rig_random. */
void compress_rig_begin(struct compress_rig *rig, const char *name, const char *const sets[],
    int ranks, const struct mu_layout *layout);
void compress_rig_cut(struct compress_rig *rig, int buckets); /* last first, as backward does */
/* Runs so many steps on all replicas at once; they must end well. */
void compress_rig_run(struct compress_rig *rig, int64_t steps);
void compress_rig_run_any(struct compress_rig *rig, int64_t steps); /* or badly */
/* Closes the compressors and opens others with what is kept: as after a checkpoint. */
void compress_rig_reopen(struct compress_rig *rig);
void compress_rig_end(struct compress_rig *rig);

void compress_rig_random(struct compress_replica *replica, int64_t step);
/* Of one element; zero in gaps. */
float compress_rig_value(const struct mu_layout *layout, int rank, int64_t step, size_t i);
bool compress_rig_in_gap(const struct mu_layout *layout, size_t i);

#endif
