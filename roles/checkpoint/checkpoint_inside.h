/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_CHECKPOINT_INSIDE_H
#define MU_ROLES_CHECKPOINT_INSIDE_H

#include "roles/checkpoint/checkpoint.h"

/* Between the files that make and read checkpoints; nobody else's. */
#define MU_CHECKPOINT_WHERE_BYTES 512

/* Everything that loading one entry needs to hand down. */
struct mu_checkpoint_loading {
    struct mu_store *store;
    struct mu_log *log;     /* for what is final */
    struct mu_log *quiet;   /* for why the entry is damaged */
    struct mu_log *foreign; /* for how it is another job's */
    const struct mu_checkpoint_target *target;
    bool parameters_only;
};

/* "checkpoints/500/model.safetensors"; `out` has MU_CHECKPOINT_WHERE_BYTES. */
void mu_checkpoint_name_file(struct mu_store *store, int64_t step, const char *name, char *out);

/* Checks a file of so many bytes against the manifest: size, header, the checksum of each tensor
 * and of the whole. BAD_DATA, which names the tensor that is damaged, or the byte of the header if
 * it is a single one; IO_ERROR, NO_MEMORY. */
enum mu_status mu_checkpoint_check_file(struct mu_log *log, const char *where,
    const struct mu_manifest_file *file, struct mu_store_open *open, size_t bytes,
    struct mu_safetensors *ret_tensors);

/* The rows of the embedding table, if the entry or the target has one: all are checked before the
 * first one is given to the target. */
enum mu_status mu_checkpoint_rows_load(
    const struct mu_checkpoint_loading *loading, const struct mu_manifest *manifest);
/* "embedding.ids", "embedding.rows", "embedding.<slot>" */
void mu_checkpoint_rows_name(char out[2 * MU_NAME_MAX], const char *part);

#endif
