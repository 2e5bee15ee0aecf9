/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_MANIFEST_H
#define MU_ROLES_MANIFEST_H

#include "data/plan.h"
#include "data/safetensors.h"
#include "muster/optimizer.h"
#include "runtime/base/json.h"
#include "runtime/base/store.h"

/*
 * manifest.json: what a checkpoint says about itself. It is the last word on whether an entry is
 * whole: it has the size and the CRC-32C of every file, the CRC-32C of every tensor, and of its own
 * text. The fields are described in docs/CHECKPOINTS.md.
 */
#define MU_MANIFEST_FORMAT 2 /* the newest; written is the oldest that can say it */
#define MU_MANIFEST_NAME "manifest.json"
/* Of format 1, which has one of each epoch that asynchronous replicas are still in, up to four
 * times the stretches of an epoch; and those of the processes that went on from there. */
#define MU_POSITIONS_MAX (5 * MU_STRETCHES_MAX)

/* How far the replicas of one stretch have come. */
struct mu_position {
    int64_t epoch; /* that the stretch is of, or begins with: it says nothing of earlier ones */
    struct mu_stretch stretch;
};

struct mu_manifest_tensor {
    char name[2 * MU_NAME_MAX];
    uint32_t crc32c;
};

struct mu_manifest_file {
    char name[MU_STORE_NAME_MAX];
    size_t bytes;
    uint32_t crc32c;
    struct mu_manifest_tensor *tensors;
    size_t tensor_count;
};

struct mu_manifest {
    char writer[32]; /* version of muster */
    char run[MU_NAME_MAX], model[MU_NAME_MAX], optimizer[MU_NAME_MAX];
    int64_t wall_ns; /* when, for people */
    int64_t step, epoch, samples_done;
    uint64_t seed, job_hash;
    uint32_t layout_crc32c, parameters_crc32c;
    struct mu_position positions[MU_POSITIONS_MAX]; /* their numbers owned by the manifest */
    int position_count;
    struct mu_manifest_file files[MU_STORE_FILES_MAX];
    int file_count;
};

void mu_manifest_init(struct mu_manifest *manifest);
void mu_manifest_finish(struct mu_manifest *manifest); /* takes a zeroed one */
/* Copies the numbers; NO_MEMORY, BUG if there are too many positions. */
enum mu_status mu_manifest_add_position(
    struct mu_manifest *manifest, const struct mu_position *position);
/* Makes room for `tensor_count` tensors of one more file. NO_MEMORY. */
enum mu_status mu_manifest_add_file(struct mu_manifest *manifest, const char *name,
    size_t tensor_count, struct mu_manifest_file **ret_file);
const struct mu_manifest_file *mu_manifest_file(
    const struct mu_manifest *manifest, const char *name); /* NULL */

void mu_manifest_write(const struct mu_manifest *manifest, struct mu_text *out);
/* Text in, checked values out. BAD_DATA (MU_E0601): not whole or not sound; PROTOCOL (MU_E0606): a
 * newer format. On failure *ret_manifest is finished. */
enum mu_status mu_manifest_parse(struct mu_log *log, const char *source, const char *text,
    size_t bytes, struct mu_manifest *ret_manifest);

#endif
