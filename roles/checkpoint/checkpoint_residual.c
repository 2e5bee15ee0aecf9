/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint.h"
#include <stdlib.h>

static size_t elements(const struct mu_safetensor *tensor, int dimension)
{
    return tensor && tensor->rank > dimension ? (size_t)tensor->shape[dimension] : 0;
}

static size_t bytes_of(const struct mu_safetensor *tensor)
{
    return tensor ? tensor->end - tensor->begin : 0;
}

static enum mu_status read_file(const struct mu_checkpoint_file *file, struct mu_log *log,
    struct mu_checkpoint_residual *ret_residual)
{
    const struct mu_safetensor *residuals = mu_safetensors_find(&file->tensors, "residuals");
    const struct mu_safetensor *shared = mu_safetensors_find(&file->tensors, "shared");
    ret_residual->residual_count = (int)elements(residuals, 0);
    ret_residual->element_count = elements(residuals, 1);
    ret_residual->shared_count = elements(shared, 0);
    ret_residual->data = malloc(bytes_of(residuals) + bytes_of(shared) + 1);
    if (!ret_residual->data)
        return MU_NO_MEMORY;
    enum mu_status status = MU_OK;
    if (residuals)
        status =
            mu_checkpoint_read(file, log, residuals, 0, ret_residual->data, bytes_of(residuals));
    if (shared && status == MU_OK)
        status = mu_checkpoint_read(file, log, shared, 0,
            (char *)ret_residual->data + bytes_of(residuals), bytes_of(shared));
    if (status != MU_OK) {
        free(ret_residual->data);
        *ret_residual = (struct mu_checkpoint_residual){0};
    }
    return status;
}

enum mu_status mu_checkpoint_read_residual(struct mu_store *store, struct mu_log *log,
    const struct mu_manifest *manifest, struct mu_checkpoint_residual *ret_residual)
{
    struct mu_checkpoint_file file;
    *ret_residual = (struct mu_checkpoint_residual){0};
    if (!mu_manifest_file(manifest, MU_CHECKPOINT_RESIDUAL))
        return MU_OK;
    MU_TRY(mu_checkpoint_open_file(store, log, manifest, MU_CHECKPOINT_RESIDUAL, &file));
    enum mu_status status = read_file(&file, log, ret_residual);
    mu_checkpoint_close_file(&file);
    return status;
}
