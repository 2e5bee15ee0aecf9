/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TESTS_MODEL_RIG_H
#define MU_TESTS_MODEL_RIG_H

#include "test.h"

#include "models/models.h"
#include "muster/dataset.h"
#include "runtime/device/device.h"
#include "runtime/tensor/arena.h"

/* A model with random parameters and one batch for it, with a sparse part where the shape says. */
#define RIG_ROWS 12      /* of the batch */
#define RIG_ENTRIES 8    /* the most of a row */
#define RIG_TABLE_ROWS 7 /* few, so that ids repeat within rows and between them */
#define RIG_UNUSED 3     /* a row of the table that no entry has */

struct rig_shape {
    const char *model;
    const char *dimension, *widths; /* options; NULL: the default */
    size_t features, classes;
    size_t entry_max; /* rows have from none to so many entries */
    size_t fields;    /* or exactly so many */
    int slices;       /* that backward announces */
};

struct rig {
    struct mu_test_log log;
    struct mu_device *device;
    const struct mu_model_ops *ops;
    const struct rig_shape *shape;
    void *options;
    struct mu_dataset_facts facts;
    struct mu_layout layout;
    struct mu_arena parameters, gradients;
    struct mu_arena table, table_gradients; /* (RIG_TABLE_ROWS, width); empty: no sparse part */
    void *model;
    float features[RIG_ROWS * 784];
    int32_t labels[RIG_ROWS];
    uint32_t first[RIG_ROWS + 1], of_entry[RIG_ROWS * RIG_ENTRIES];
    uint64_t id[RIG_ROWS * RIG_ENTRIES];
    float value[RIG_ROWS * RIG_ENTRIES];
    struct mu_batch batch;
};

void rig_begin(struct rig *rig, const struct rig_shape *shape, const char *device);
void rig_end(struct rig *rig);

double rig_loss(struct rig *rig);
/* After a forward; every gradient is made NAN before, for all must be written. */
void rig_backward(struct rig *rig, float scale, const struct mu_slice_listener *listener);
/* d(loss)/d(*at) by the difference of the losses `epsilon` above and below. */
double rig_difference(struct rig *rig, float *at, float epsilon);
/* The gradients of the vector, then those of the table's rows, agree with differences. */
void rig_check_gradients(struct rig *rig);

#endif
