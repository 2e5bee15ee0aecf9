/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_ROLES_CHECKPOINT_H
#define MU_ROLES_CHECKPOINT_H

#include "muster/optimizer.h"
#include "muster/tensor.h"
#include "roles/checkpoint/manifest.h"
#include "roles/checkpoint/row_runs.h"
#include "roles/checkpoint/saved_rows.h"
#include "runtime/base/store.h"

/*
 * A checkpoint: one entry of a store, numbered by its step, of three files to five.
 *
 *   model.safetensors       a tensor a view of the layout, by its name
 *   optimizer.safetensors   "<slot>/<view>" for every slot of the optimizer and every view
 *   embedding.safetensors   only of a model with an embedding table, in the order of the ids:
 *                           "embedding.ids", "embedding.rows" and "embedding.<slot>"
 *   residual.safetensors    only with a compressor that keeps something: "residuals", a row a
 *                           replica, and "shared", what all replicas have alike
 *   manifest.json           the rest, and the checksums of all
 *
 * It holds whole vectors, so it loads at any number of workers and servers: each cuts its spans out
 * of what was loaded. Nothing in it is ever run.
 */
#define MU_CHECKPOINT_MODEL "model.safetensors"
#define MU_CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define MU_CHECKPOINT_EMBEDDING "embedding.safetensors"
#define MU_CHECKPOINT_RESIDUAL "residual.safetensors"
#define MU_CHECKPOINT_NEWEST INT64_C(-1)
#define MU_CHECKPOINTS_MAX 1024 /* entries looked at in one store */

/* The state of a run at one instant. All of it is the caller's and must not change during save. */
struct mu_snapshot {
    int64_t step;         /* optimizer steps done: the number of the entry */
    int64_t epoch;        /* that the run is in */
    int64_t samples_done; /* since the start of the run */
    uint64_t seed, job_hash;
    int64_t wall_ns;
    const char *run, *model, *optimizer; /* name of the job, kinds of model and optimizer */
    /* What is done of this epoch, and of others that some replicas are in. */
    const struct mu_position *positions;
    int position_count;
    const struct mu_layout *layout;
    const float *parameters; /* (layout->element_count) */
    int slot_count;
    const char *slot_names[MU_SLOTS_MAX];
    const float *slots[MU_SLOTS_MAX];
    const struct mu_saved_rows *rows; /* of an embedding table; NULL: there is none, or ... */
    const struct mu_row_runs *runs;   /* ... its rows are on the disk; NULL: they are not */
    uint32_t *ret_parameters_crc32c;  /* is set to what the manifest says; NULL: nobody asks */
    int residual_count;               /* 0: there are none */
    const float *residuals;           /* (residual_count, layout->element_count) */
    size_t shared_count;              /* 0: nothing */
    const float *shared;              /* (shared_count) */
};

/* What a compressor kept, as loaded: `data` is the caller's to free. */
struct mu_checkpoint_residual {
    int residual_count;
    size_t element_count, shared_count;
    float *data; /* the residuals, then what is shared */
};

/* Where a checkpoint goes when it is loaded, and what it must be. */
struct mu_checkpoint_target {
    const char *model, *optimizer;
    const struct mu_layout *layout;
    float *parameters;
    int slot_count;
    const char *slot_names[MU_SLOTS_MAX];
    float *slots[MU_SLOTS_MAX];
    size_t row_width;          /* of the embedding table; 0: the model has none */
    struct mu_row_writer rows; /* takes its rows, with all slots, when the whole entry is sound */
};

/* Puts the snapshot and then drops all entries but the newest `keep` (1 or more). Entries with a
 * higher step are dropped too: they are of a history that this run has left. A drop that fails is a
 * warning. What the store's put returns, NO_MEMORY. */
enum mu_status mu_checkpoint_save(
    struct mu_store *store, struct mu_log *log, const struct mu_snapshot *snapshot, int keep);

/*
 * Reads the entry of `step`, or the newest. Everything is verified before it is believed. A newest
 * entry that is damaged, or of another job, is reported as a warning with the reason, and the one
 * before it is tried; a step that was asked for by number is not replaced by another.
 *
 * NO_INPUT (MU_E0603): there is none. BAD_DATA: none is whole (MU_E0601), or it is of another model
 * or optimizer (MU_E0602, with a table). IO_ERROR (MU_E0605): none is whole, and one or more cannot
 * be read. PROTOCOL (MU_E0606): of a newer version. NO_MEMORY. What taking a row returns. After a
 * failure the target's vectors hold anything. On success *ret_manifest is the caller's to finish.
 */
enum mu_status mu_checkpoint_load(struct mu_store *store, struct mu_log *log, int64_t step,
    const struct mu_checkpoint_target *target, struct mu_manifest *ret_manifest);

/* The same for the parameters alone: target->optimizer and the slots are not looked at, and rows
 * come without theirs. */
enum mu_status mu_checkpoint_read_for_eval(struct mu_store *store, struct mu_log *log, int64_t step,
    const struct mu_checkpoint_target *target, struct mu_manifest *ret_manifest);

/* What a compressor kept, of the entry that was loaded; all zero if the entry has none. */
enum mu_status mu_checkpoint_read_residual(struct mu_store *store, struct mu_log *log,
    const struct mu_manifest *manifest, struct mu_checkpoint_residual *ret_residual);

/* Verifies one entry against its own manifest, whatever model it is of. */
enum mu_status mu_checkpoint_verify(
    struct mu_store *store, struct mu_log *log, int64_t step, struct mu_manifest *ret_manifest);

/* One file of an entry, open: a table in it may be larger than the memory. */
struct mu_checkpoint_file {
    struct mu_store_open *open;
    struct mu_safetensors tensors;
};

/* Of a file that is verified, from its first byte to its last, in parts of 1 MiB. */
enum mu_status mu_checkpoint_open_file(struct mu_store *store, struct mu_log *log,
    const struct mu_manifest *manifest, const char *name, struct mu_checkpoint_file *ret_file);
/* Bytes of a tensor, `at` from its beginning. IO_ERROR. */
enum mu_status mu_checkpoint_read(const struct mu_checkpoint_file *file, struct mu_log *log,
    const struct mu_safetensor *tensor, size_t at, void *data, size_t bytes);
void mu_checkpoint_close_file(struct mu_checkpoint_file *file); /* takes a zeroed one */

#endif
