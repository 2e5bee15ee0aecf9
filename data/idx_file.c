/* SPDX-License-Identifier: Apache-2.0 */
#include "data/idx_file.h"

#include <assert.h>
#include <stdlib.h>

#define TYPE_U8 0x08

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The four bytes that tell what it is. */
static enum mu_status read_magic(
    struct mu_log *log, struct mu_gz *gz, int rank_min, int rank_max, int *ret_rank)
{
    uint8_t magic[4];
    MU_TRY(mu_gz_read(gz, magic, sizeof(magic)));
    if (magic[0] != 0 || magic[1] != 0)
        return mu_fail(log, MU_E0502, NULL, "%s is not an IDX file: it begins with %02x %02x",
            mu_gz_name(gz), magic[0], magic[1]);
    if (magic[2] != TYPE_U8)
        return mu_fail(log, MU_E0502, NULL,
            "%s holds elements of type %02x, only unsigned bytes (08) can be read", mu_gz_name(gz),
            magic[2]);
    if (magic[3] < rank_min || magic[3] > rank_max)
        return mu_fail(log, MU_E0502, "are images and labels exchanged?",
            "%s has %d dimensions, expected %d to %d", mu_gz_name(gz), magic[3], rank_min,
            rank_max);
    *ret_rank = magic[3];
    return MU_OK;
}

static enum mu_status read_shape(struct mu_log *log, struct mu_gz *gz, struct mu_idx_file *file)
{
    uint8_t dimensions[4 * MU_IDX_RANK_MAX];
    MU_TRY(mu_gz_read(gz, dimensions, 4 * (size_t)file->rank));
    file->element_count = 1;
    for (int i = 0; i < file->rank; i++) {
        file->shape[i] = big_endian(dimensions + 4 * (size_t)i);
        if (file->shape[i] == 0)
            return mu_fail(
                log, MU_E0502, NULL, "%s is empty: dimension %d is 0", mu_gz_name(gz), i);
        if (__builtin_mul_overflow(file->element_count, file->shape[i], &file->element_count))
            file->element_count = SIZE_MAX; /* which no file can fill */
    }
    size_t record_bytes = file->element_count / file->shape[0];
    size_t header_bytes = 4 + 4 * (size_t)file->rank, most = mu_gz_bytes_max(gz);
    mu_gz_count_records(gz, record_bytes);
    if (mu_gz_descriptor(gz) >= 0 && file->element_count > most - header_bytes)
        return mu_fail(log, MU_E0502, "fetch the file again",
            "%s is cut off in record %zu of %zu: its header speaks of %zu bytes, it has %zu",
            mu_gz_name(gz), (most - header_bytes) / record_bytes, (size_t)file->shape[0],
            file->element_count, most - header_bytes);
    if (file->element_count > most)
        return mu_fail(log, MU_E0502, "fetch the file again",
            "%s is cut off: its header speaks of %zu bytes, more than the file can hold",
            mu_gz_name(gz), file->element_count);
    return MU_OK;
}

enum mu_status mu_idx_file_read_shape(
    struct mu_log *log, struct mu_gz *gz, int rank_min, int rank_max, struct mu_idx_file *ret_file)
{
    assert(rank_min > 0 && rank_max <= MU_IDX_RANK_MAX);
    struct mu_idx_file file = {0};
    MU_TRY(read_magic(log, gz, rank_min, rank_max, &file.rank));
    MU_TRY(read_shape(log, gz, &file));
    *ret_file = file;
    return MU_OK;
}

enum mu_status mu_idx_file_read(
    struct mu_log *log, struct mu_gz *gz, int rank_min, int rank_max, struct mu_idx_file *ret_file)
{
    struct mu_idx_file file;
    MU_TRY(mu_idx_file_read_shape(log, gz, rank_min, rank_max, &file));
    file.elements = malloc(file.element_count);
    if (!file.elements)
        return mu_fail(log, MU_E0801, NULL, "no memory for the %zu bytes of %s", file.element_count,
            mu_gz_name(gz));
    enum mu_status status = mu_gz_read(gz, file.elements, file.element_count);
    if (status == MU_OK)
        status = mu_gz_end(gz);
    if (status != MU_OK) {
        free(file.elements);
        return status;
    }
    *ret_file = file;
    return MU_OK;
}

void mu_idx_file_finish(struct mu_idx_file *file)
{
    free(file->elements);
    *file = (struct mu_idx_file){0};
}
