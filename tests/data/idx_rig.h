/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_TEST_IDX_RIG_H
#define MU_TEST_IDX_RIG_H

#include "data/datasets.h"
#include "test.h"

/* A folder of the test's own with MNIST files of any content in it. */

int idx_rig_begin(void **state);
int idx_rig_end(void **state); /* removes the folder */

const char *idx_rig_path(const char *name); /* in the folder; valid until the next call */
void idx_rig_write(const char *name, const void *data, size_t bytes);
void idx_rig_write_packed(const char *name, const void *data, size_t bytes);
void idx_rig_write_stored(const char *name, const void *data, size_t bytes); /* gzip, level 0 */
size_t idx_rig_read(const char *name, void *out, size_t bytes_max);
void idx_rig_remove(const char *name);

/* An IDX file of these dimensions whose element i is i modulo `modulus`; returns its bytes. */
size_t idx_rig_make(uint8_t *out, int rank, const uint32_t *shape, int modulus);

/* The data set's options for this folder. */
void idx_rig_options(void *options);
/* Opens the folder as a data set of ten classes; what was said is in idx_rig_said. */
extern struct mu_test_log idx_rig_said;
enum mu_status idx_rig_open(
    enum mu_split split, void **ret_dataset, struct mu_dataset_facts *ret_facts);
/* It must be refused with this status, naming all of these (NULL-terminated). */
void idx_rig_refused(enum mu_status status, const char *const needles[]);

#endif
