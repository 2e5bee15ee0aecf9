/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_DATASET_H
#define MUSTER_DATASET_H

#include "muster/option.h"
#include "muster/status.h"
#include "muster/tensor.h"

struct mu_log;

enum mu_split { MU_SPLIT_TRAIN, MU_SPLIT_TEST };

/* What a data set is, known after open. */
struct mu_dataset_facts {
    size_t sample_count;
    size_t feature_count;
    size_t class_count;
    size_t entry_max;   /* sparse data: the most entries of one sample; 0: dense */
    size_t field_count; /* sparse data: each sample has exactly so many entries, one a field, in the
                           order of the fields; 0: any number up to entry_max */
    uint64_t id_count;  /* ids of entries are below it; 0: any */
    uint32_t crc32c; /* of what was read: two tasks with different data must not train together */
};

/*
 * A kind of data set. An instance is read-only after open, and `read` may be called from several
 * threads at once.
 */
struct mu_dataset_ops {
    const char *name; /* "idx" */
    const char *doc;
    const struct mu_option *options;
    size_t option_bytes;

    /* Reads and checks everything that can be wrong (magic, counts, truncation, every label).
     * BAD_DATA naming file and record, NO_INPUT naming the file, NO_MEMORY. May block on disk. */
    enum mu_status (*open)(const void *options, enum mu_split split, struct mu_log *log,
        void **ret_dataset, struct mu_dataset_facts *ret_facts);

    /* Says what is missing of the files of a split, as `open` would, and reads nothing but their
     * beginnings: so that a launcher can say it once. NULL: nothing can be missing. NO_INPUT. */
    enum mu_status (*find)(const void *options, enum mu_split split, struct mu_log *log);

    /* Sparse data: the most entries of any sample, where the options alone say it; 0: they are
     * wrong, as `open` will say. NULL: it takes reading. */
    size_t (*entries)(const void *options);

    /* Once, before a test set is read from: its classes become those of the training set, which is
     * of the same options. Finds what `open` leaves to be found by who reads: nobody reads test
     * data before the end. NULL: any two fit. BAD_DATA naming file and record, IO_ERROR, NO_MEMORY.
     */
    enum mu_status (*match)(
        void *test, const void *train, struct mu_log *log, struct mu_dataset_facts *test_facts);

    /* Sample index[i] into row i: features (count, feature_count) floats, labels (count). Indices
     * are below sample_count (asserted). Allocates nothing, never fails. */
    void (*read)(
        void *dataset, const uint32_t *index, size_t count, float *features, int32_t *labels);

    /* Sparse data sets, in place of `read` (which is NULL then): also the entries, into room for
     * count * entry_max of them. Text that is read as it is used may turn out wrong here: BAD_DATA
     * naming file and record, IO_ERROR. Indices that follow each other are the quick case. */
    enum mu_status (*read_sparse)(void *dataset, const uint32_t *index, size_t count,
        float *features, int32_t *labels, struct mu_entries *entries, struct mu_log *log);

    void (*close)(void *dataset); /* takes NULL */
};

#endif
