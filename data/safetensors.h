/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_DATA_SAFETENSORS_H
#define MU_DATA_SAFETENSORS_H

#include "muster/tensor.h"
#include "runtime/base/log.h"
#include "runtime/base/text.h"

/*
 * The safetensors format: u64 little-endian header bytes, a JSON header, then the tensors. Written
 * in the order the format asks for (I64 before F32, then by name), read with every rule enforced:
 * see docs/CHECKPOINTS.md. What a reader allocates is bounded by the bytes of the header, never by
 * what the header claims. Headers over 1 MiB are refused (the format allows 100 MB).
 */
#define MU_SAFETENSORS_HEADER_MAX (1 << 20)
#define MU_SAFETENSORS_PARSED_MAX (8 + MU_SAFETENSORS_HEADER_MAX)
#define MU_SAFETENSORS_TENSORS_MAX 4096

struct mu_safetensor {
    char name[2 * MU_NAME_MAX];
    char dtype[12]; /* "F32" */
    int rank;
    int64_t shape[8];
    size_t begin, end; /* bytes, from the start of the file */
};

struct mu_safetensors {
    struct mu_safetensor *tensor; /* in the order of their offsets */
    size_t tensor_count;
};

/* Parses and checks the header against the whole size of the file, `bytes`; of its contents `file`
 * needs no more than the first MU_SAFETENSORS_PARSED_MAX. BAD_DATA (MU_E0601) naming `source` and
 * the tensor. */
enum mu_status mu_safetensors_parse(struct mu_log *log, const char *source, const void *file,
    size_t bytes, struct mu_safetensors *ret_tensors);
void mu_safetensors_finish(struct mu_safetensors *tensors);
const struct mu_safetensor *mu_safetensors_find(
    const struct mu_safetensors *tensors, const char *name);

/* What is written; the wider one first. */
enum mu_safetensors_dtype { MU_SAFETENSORS_F32, MU_SAFETENSORS_I64 };

/* One tensor to write. Sort the array with mu_safetensors_sort before making the header. */
struct mu_safetensor_source {
    char name[2 * MU_NAME_MAX];
    enum mu_safetensors_dtype dtype;
    int rank;
    int64_t shape[MU_RANK_MAX];
    const void *data;
};
size_t mu_safetensors_source_bytes(const struct mu_safetensor_source *source); /* of the data */
void mu_safetensors_sort(struct mu_safetensor_source *sources, size_t count);
/* Appends the 8 length bytes and the padded JSON header; the tensors' data follow it in order,
 * without gaps. `metadata` is pairs of key and value, NULL-terminated, may be NULL. */
enum mu_status mu_safetensors_header(const struct mu_safetensor_source *sources, size_t count,
    const char *const metadata[], struct mu_text *out);

#endif
