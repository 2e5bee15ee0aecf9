/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_IDX_FILE_H
#define MU_DATA_IDX_FILE_H

#include "data/gz.h"
#include <stdint.h>

#define MU_IDX_RANK_MAX 8

/* An IDX file of bytes (LeCun, Cortes and Burges, the MNIST database): 00 00 type rank, the
 * dimensions as u32 big-endian, the elements. */
struct mu_idx_file {
    int rank;
    size_t shape[MU_IDX_RANK_MAX];
    size_t element_count; /* the product; above 0 */
    uint8_t *elements;    /* on the heap */
};

/* Reads the whole file to its end. Only unsigned bytes, only ranks from `rank_min` to `rank_max`.
 * MU_E0501, MU_E0502 naming the file; MU_E0801. Takes no more memory than the file can fill. */
enum mu_status mu_idx_file_read(
    struct mu_log *log, struct mu_gz *gz, int rank_min, int rank_max, struct mu_idx_file *ret_file);
/* The beginning alone, which tells all but the elements: these are NULL. */
enum mu_status mu_idx_file_read_shape(
    struct mu_log *log, struct mu_gz *gz, int rank_min, int rank_max, struct mu_idx_file *ret_file);
void mu_idx_file_finish(struct mu_idx_file *file); /* takes a zeroed one */

#endif
