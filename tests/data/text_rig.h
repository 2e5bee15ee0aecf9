/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_TEXT_RIG_H
#define MU_TEST_TEXT_RIG_H

#include "idx_rig.h"

/* A sparse data set opened from options as they are typed, and its samples as read. */
struct text_rig {
    const struct mu_dataset_ops *ops;
    void *dataset;
    struct mu_dataset_facts facts;
    struct mu_test_log said;
    size_t count; /* rows read last */
    float *features;
    int32_t *labels;
    struct mu_entries entries;
};

/* `options` is "name=value name=value ..."; a value that is FILE:NAME is a path in the folder of
 * idx_rig. */
enum mu_status text_rig_open(
    struct text_rig *rig, const char *kind, const char *options, enum mu_split split);
void text_rig_opened(
    struct text_rig *rig, const char *kind, const char *options, enum mu_split split);
/* The test split of the same options, matched with the training split; that is closed again. */
enum mu_status text_rig_match(struct text_rig *rig, const char *kind, const char *options);
enum mu_status text_rig_read(struct text_rig *rig, const uint32_t *index, size_t count);
/* All of it, at once. */
void text_rig_read_all(struct text_rig *rig);
void text_rig_close(struct text_rig *rig);

/* The row as text, "label feature feature | id:value id:value"; valid until the next call. */
const char *text_rig_row(const struct text_rig *rig, size_t row);

#endif
