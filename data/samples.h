/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_SAMPLES_H
#define MU_DATA_SAMPLES_H

#include "muster/dataset.h"

/* Samples whose features and labels are bytes, whole in memory. Features are turned to floats in
 * [0, 1] when they are read: a quarter of the memory. */
struct mu_samples {
    size_t count, feature_count;
    uint8_t *features; /* (count, feature_count), on the heap */
    uint8_t *labels;   /* (count), on the heap */
};

void mu_samples_finish(struct mu_samples *samples); /* takes a zeroed one */
/* CRC-32C over features, then labels. */
void mu_samples_facts(
    const struct mu_samples *samples, size_t class_count, struct mu_dataset_facts *ret_facts);
/* mu_dataset_ops.read */
void mu_samples_read(const struct mu_samples *samples, const uint32_t *index, size_t count,
    float *features, int32_t *labels);

#endif
