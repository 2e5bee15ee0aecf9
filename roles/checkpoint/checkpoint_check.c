/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/checkpoint/checkpoint_inside.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log_quiet.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Is a file of a checkpoint whole, by what the manifest says of it? If not: what is damaged? It is
 * read once, a part at a time; of its bytes only the head stays. */

#define PART_BYTES ((size_t)1 << 20)

/* The file while it is looked at. */
struct check {
    struct mu_log *log;  /* for what is damaged */
    struct mu_log *said; /* for what cannot be read */
    const char *where;
    const struct mu_manifest_file *file;
    struct mu_store_open *open;
    char *head; /* the first bytes, as they are or as they might have been */
    size_t head_bytes;
    char *part; /* (PART_BYTES) */
};

/* Goes on over the bytes of the file from `begin` to `end`, with one sum or two. */
static enum mu_status sum(
    const struct check *check, size_t begin, size_t end, uint32_t *whole, uint32_t *own)
{
    while (begin < end) {
        bool in_head = begin < check->head_bytes;
        size_t bytes = in_head ? check->head_bytes - begin : PART_BYTES;
        bytes = bytes < end - begin ? bytes : end - begin;
        const char *at = in_head ? check->head + begin : check->part;
        if (!in_head)
            MU_TRY(check->open->ops->read(check->open, check->said, begin, check->part, bytes));
        *whole = mu_crc32c(*whole, at, bytes);
        if (own)
            *own = mu_crc32c(*own, at, bytes);
        begin += bytes;
    }
    return MU_OK;
}

/* Tensors lie without gaps behind the header. */
static enum mu_status sum_all(const struct check *check, const struct mu_safetensors *tensors,
    uint32_t *ret_sums, uint32_t *ret_whole)
{
    size_t count = tensors->tensor_count;
    *ret_whole = 0;
    MU_TRY(
        sum(check, 0, count > 0 ? tensors->tensor[0].begin : check->file->bytes, ret_whole, NULL));
    for (size_t i = 0; i < count; i++) {
        const struct mu_safetensor *tensor = &tensors->tensor[i];
        ret_sums[i] = 0;
        MU_TRY(sum(check, tensor->begin, tensor->end, ret_whole, &ret_sums[i]));
    }
    return MU_OK;
}

/* Which tensor is damaged; if none is, the header is. */
static enum mu_status judge(const struct check *check, const struct mu_safetensors *tensors,
    const uint32_t *sums, uint32_t whole)
{
    for (size_t i = 0; i < check->file->tensor_count; i++) {
        const struct mu_manifest_tensor *kept = &check->file->tensors[i];
        const struct mu_safetensor *tensor = mu_safetensors_find(tensors, kept->name);
        if (!tensor)
            return mu_fail(
                check->log, MU_E0601, NULL, "%s: `%s` is missing", check->where, kept->name);
        if (sums[tensor - tensors->tensor] != kept->crc32c)
            return mu_fail(
                check->log, MU_E0601, NULL, "%s: crc mismatch in `%s`", check->where, kept->name);
    }
    if (whole != check->file->crc32c)
        return mu_fail(check->log, MU_E0601, NULL, "%s: crc mismatch in its header", check->where);
    return MU_OK;
}

static enum mu_status check_sums(const struct check *check, const struct mu_safetensors *tensors)
{
    uint32_t whole, *sums = calloc(tensors->tensor_count + 1, sizeof(*sums));
    if (!sums)
        return mu_fail(check->log, MU_E0801, NULL, "no memory to read %s", check->where);
    enum mu_status status = sum_all(check, tensors, sums, &whole);
    if (status == MU_OK)
        status = judge(check, tensors, sums, whole);
    free(sums);
    return status;
}

static enum mu_status check_content(const struct check *check, struct mu_safetensors *ret_tensors)
{
    MU_TRY(mu_safetensors_parse(
        check->log, check->where, check->head, check->file->bytes, ret_tensors));
    enum mu_status status = check_sums(check, ret_tensors);
    if (status != MU_OK)
        mu_safetensors_finish(ret_tensors);
    return status;
}

/* Would the file be whole with this byte of its header changed so? */
static bool is_whole_with(const struct check *found, size_t at, uint8_t flipped)
{
    struct mu_log quiet = mu_log_quiet();
    struct mu_safetensors tensors;
    struct check check = *found;
    check.log = check.said = &quiet;
    check.where = "";
    check.head[at] = (char)((uint8_t)check.head[at] ^ flipped);
    bool whole = check_content(&check, &tensors) == MU_OK;
    bool in_header = whole && (tensors.tensor_count == 0 || at < tensors.tensor[0].begin);
    if (whole)
        mu_safetensors_finish(&tensors);
    check.head[at] = (char)((uint8_t)check.head[at] ^ flipped);
    return in_header;
}

/* A header that is damaged may say anything, and what the parser makes of it names no cause. */
static bool find_header_byte(const struct check *check, size_t *ret_at)
{
    size_t at = MU_SAFETENSORS_PARSED_MAX;
    uint32_t whole = 0;
    if (sum(check, 0, check->file->bytes, &whole, NULL) != MU_OK)
        return false;
    for (;;) {
        uint8_t flipped;
        at = mu_crc32c_locate(whole ^ check->file->crc32c, check->file->bytes, at, &flipped);
        *ret_at = at;
        if (at == SIZE_MAX || is_whole_with(check, at, flipped))
            return at != SIZE_MAX;
    }
}

static enum mu_status check_read(struct check *check, struct mu_safetensors *ret_tensors)
{
    struct mu_log quiet = mu_log_quiet(), *log = check->said;
    check->log = &quiet;
    MU_TRY(check->open->ops->read(check->open, log, 0, check->head, check->head_bytes));
    enum mu_status status = check_content(check, ret_tensors);
    size_t at;
    if (status == MU_OK || status == MU_IO_ERROR)
        return status;
    if (status == MU_BAD_DATA && find_header_byte(check, &at))
        return mu_fail(
            log, MU_E0601, NULL, "%s: its header is damaged at byte %zu", check->where, at);
    bool names_it = strstr(quiet.first_text, check->where) != NULL;
    return mu_fail(log, status == MU_NO_MEMORY ? MU_E0801 : MU_E0601, NULL, "%s%s%s",
        names_it ? "" : check->where, names_it ? "" : ": ", quiet.first_text);
}

enum mu_status mu_checkpoint_check_file(struct mu_log *log, const char *where,
    const struct mu_manifest_file *file, struct mu_store_open *open, size_t bytes,
    struct mu_safetensors *ret_tensors)
{
    if (bytes != file->bytes)
        return mu_fail(
            log, MU_E0601, NULL, "%s has %zu bytes instead of %zu", where, bytes, file->bytes);
    struct check check = {.said = log, .where = where, .file = file, .open = open};
    check.head_bytes =
        bytes < MU_SAFETENSORS_PARSED_MAX ? bytes : (size_t)MU_SAFETENSORS_PARSED_MAX;
    check.head = malloc(check.head_bytes + 1);
    check.part = malloc(PART_BYTES);
    enum mu_status status = check.head && check.part
                                ? check_read(&check, ret_tensors)
                                : mu_fail(log, MU_E0801, NULL, "no memory to read %s", where);
    free(check.part);
    free(check.head);
    return status;
}
