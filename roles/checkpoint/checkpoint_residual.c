/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint.h"
#include <stdlib.h>
#include <string.h>

static size_t elements(const struct mu_safetensor *tensor, int dimension)
{
    return tensor && tensor->rank > dimension ? (size_t)tensor->shape[dimension] : 0;
}

static size_t bytes_of(const struct mu_safetensor *tensor)
{
    return tensor ? tensor->end - tensor->begin : 0;
}

static enum mu_status copy(const void *file, const struct mu_safetensors *tensors,
    struct mu_checkpoint_residual *ret_residual)
{
    const struct mu_safetensor *residuals = mu_safetensors_find(tensors, "residuals");
    const struct mu_safetensor *shared = mu_safetensors_find(tensors, "shared");
    ret_residual->residual_count = (int)elements(residuals, 0);
    ret_residual->element_count = elements(residuals, 1);
    ret_residual->shared_count = elements(shared, 0);
    ret_residual->data = malloc(bytes_of(residuals) + bytes_of(shared) + 1);
    if (!ret_residual->data)
        return MU_NO_MEMORY;
    if (residuals)
        memcpy(ret_residual->data, (const char *)file + residuals->begin, bytes_of(residuals));
    if (shared)
        memcpy((char *)ret_residual->data + bytes_of(residuals), (const char *)file + shared->begin,
            bytes_of(shared));
    return MU_OK;
}

enum mu_status mu_checkpoint_read_residual(struct mu_store *store, struct mu_log *log,
    const struct mu_manifest *manifest, struct mu_checkpoint_residual *ret_residual)
{
    void *file;
    struct mu_safetensors tensors;
    *ret_residual = (struct mu_checkpoint_residual){0};
    if (!mu_manifest_file(manifest, MU_CHECKPOINT_RESIDUAL))
        return MU_OK;
    MU_TRY(mu_checkpoint_open_file(store, log, manifest, MU_CHECKPOINT_RESIDUAL, &file, &tensors));
    enum mu_status status = copy(file, &tensors, ret_residual);
    mu_safetensors_finish(&tensors);
    free(file);
    return status;
}
