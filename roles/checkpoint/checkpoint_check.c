/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log_quiet.h"
#include <stdint.h>
#include <string.h>

/* Is a file of a checkpoint whole, by what the manifest says of it? If not: what is damaged? */

/* Which tensor is damaged; if none is, the header is. */
static enum mu_status check_sums(struct mu_log *log, const char *where,
    const struct mu_manifest_file *file, const char *data, const struct mu_safetensors *tensors)
{
    for (size_t i = 0; i < file->tensor_count; i++) {
        const struct mu_manifest_tensor *sum = &file->tensors[i];
        const struct mu_safetensor *tensor = mu_safetensors_find(tensors, sum->name);
        if (!tensor)
            return mu_fail(log, MU_E0601, NULL, "%s: `%s` is missing", where, sum->name);
        if (mu_crc32c(0, data + tensor->begin, tensor->end - tensor->begin) != sum->crc32c)
            return mu_fail(log, MU_E0601, NULL, "%s: crc mismatch in `%s`", where, sum->name);
    }
    if (mu_crc32c(0, data, file->bytes) != file->crc32c)
        return mu_fail(log, MU_E0601, NULL, "%s: crc mismatch in its header", where);
    return MU_OK;
}

static enum mu_status check_content(struct mu_log *log, const char *where,
    const struct mu_manifest_file *file, const char *data, struct mu_safetensors *ret_tensors)
{
    MU_TRY(mu_safetensors_parse(log, where, data, file->bytes, ret_tensors));
    enum mu_status status = check_sums(log, where, file, data, ret_tensors);
    if (status != MU_OK)
        mu_safetensors_finish(ret_tensors);
    return status;
}

/* Would the file be whole with this byte of its header changed so? */
static bool is_whole_with(
    const struct mu_manifest_file *file, char *data, size_t at, uint8_t flipped)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_safetensors tensors;
    data[at] = (char)((uint8_t)data[at] ^ flipped);
    bool whole = check_content(&quiet, "", file, data, &tensors) == MU_OK;
    bool in_header = whole && (tensors.tensor_count == 0 || at < tensors.tensor[0].begin);
    if (whole)
        mu_safetensors_finish(&tensors);
    data[at] = (char)((uint8_t)data[at] ^ flipped);
    return in_header;
}

/* A header that is damaged may say anything, and what the parser makes of it names no cause. */
static bool find_header_byte(const struct mu_manifest_file *file, char *data, size_t *ret_at)
{
    uint32_t difference = mu_crc32c(0, data, file->bytes) ^ file->crc32c;
    size_t at = sizeof(uint64_t) + MU_SAFETENSORS_HEADER_MAX;
    for (;;) {
        uint8_t flipped;
        at = mu_crc32c_locate(difference, file->bytes, at, &flipped);
        *ret_at = at;
        if (at == SIZE_MAX || is_whole_with(file, data, at, flipped))
            return at != SIZE_MAX;
    }
}

enum mu_status mu_checkpoint_check_file(struct mu_log *log, const char *where,
    const struct mu_manifest_file *file, void *data, size_t bytes,
    struct mu_safetensors *ret_tensors)
{
    if (bytes != file->bytes)
        return mu_fail(
            log, MU_E0601, NULL, "%s has %zu bytes instead of %zu", where, bytes, file->bytes);
    struct mu_log quiet = mu_log_quiet();
    enum mu_status status = check_content(&quiet, where, file, data, ret_tensors);
    size_t at;
    if (status == MU_OK)
        return MU_OK;
    if (status == MU_BAD_DATA && find_header_byte(file, data, &at))
        return mu_fail(log, MU_E0601, NULL, "%s: its header is damaged at byte %zu", where, at);
    bool names_it = strstr(quiet.first_text, where) != NULL;
    return mu_fail(log, status == MU_NO_MEMORY ? MU_E0801 : MU_E0601, NULL, "%s%s%s",
        names_it ? "" : where, names_it ? "" : ": ", quiet.first_text);
}
