/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_TENSOR_H
#define MUSTER_TENSOR_H

#include <stddef.h>
#include <stdint.h>

/* `count` elements of the flat vector, from element `first`. */
struct mu_span {
    size_t first, count;
};

#define MU_RANK_MAX 4
#define MU_NAME_MAX 64

/* A named, shaped view into the flat vector: row-major, float32. */
struct mu_view {
    char name[MU_NAME_MAX];
    int rank;
    int64_t shape[MU_RANK_MAX];
    struct mu_span span;
};

/*
 * The model is one flat vector: `layout` names its parts, in order, first layer first. Views start
 * at multiples of MU_VIEW_ALIGN elements (64 bytes); the gaps are zero and stay zero.
 */
#define MU_VIEWS_MAX 64
#define MU_VIEW_ALIGN 16

struct mu_layout {
    int view_count;
    struct mu_view view[MU_VIEWS_MAX];
    size_t element_count; /* of the whole vector, gaps included; a multiple of MU_VIEW_ALIGN */
};

/* The sparse part of samples: row i has the entries first[i] to first[i + 1]. An entry is a feature
 * that is there: its id (in one space for the whole data set) and its value. */
struct mu_entries {
    uint32_t *first; /* (row_count + 1), first[0] is 0; NULL: there is no sparse part */
    uint64_t *id;    /* (first[row_count]) */
    float *value;    /* (first[row_count]) */
};

/* The different ids of a batch's entries, in the order in which they first occur. */
struct mu_ids {
    size_t count;
    const uint64_t *id;       /* (count) */
    const uint32_t *of_entry; /* (entries): which of them an entry has; NULL: not found out yet */
};

/* The rows of the embedding table that a batch touches, each once. Who trains puts them beside the
 * batch: a model never sees the table. */
struct mu_rows {
    size_t count, width;
    const float *value;       /* (count, width) */
    const uint32_t *of_entry; /* (entries): which of the rows an entry's id has */
    float *gradient;          /* (count, width): backward writes it, summed over equal ids */
};

/* One batch, as a data set hands it to a model. */
struct mu_batch {
    size_t row_count;
    size_t feature_count;
    const float *features; /* (row_count, feature_count) */
    const int32_t *labels; /* (row_count) in [0, class_count) */
    struct mu_entries entries;
    struct mu_ids different;
    struct mu_rows rows;
};

static inline size_t mu_batch_entry_count(const struct mu_batch *batch)
{
    return batch->entries.first ? batch->entries.first[batch->row_count] : 0;
}

#endif
