/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file. What is accepted covers every byte of the file once; where it
 * could be ours, it is written and read again. */
#include "data/safetensors.h"
#include "fuzz_log.h"
#include <stdlib.h>

static struct mu_log fuzz_log;

static void check_cover(const struct mu_safetensors *tensors, const uint8_t *data, size_t bytes)
{
    size_t header_bytes = 0;
    for (int i = 7; i >= 0; i--)
        header_bytes = header_bytes << 8 | data[i];
    size_t at = 8 + header_bytes;
    for (size_t i = 0; i < tensors->tensor_count; i++) {
        const struct mu_safetensor *tensor = &tensors->tensor[i];
        FUZZ_CHECK(tensor->begin == at && tensor->end >= at);
        FUZZ_CHECK(tensor->rank >= 0 && tensor->rank <= 8);
        FUZZ_CHECK(memchr(tensor->name, '\0', sizeof(tensor->name)));
        const struct mu_safetensor *found = mu_safetensors_find(tensors, tensor->name);
        FUZZ_CHECK(found == tensor); /* no name comes twice */
        at = tensor->end;
    }
    FUZZ_CHECK(at == bytes);
}

static bool could_be_ours(const struct mu_safetensors *tensors)
{
    for (size_t i = 0; i < tensors->tensor_count; i++)
        if (strcmp(tensors->tensor[i].dtype, "F32") != 0 || tensors->tensor[i].rank > MU_RANK_MAX)
            return false;
    return tensors->tensor_count > 0;
}

static void check_same(const struct mu_safetensors *a, const struct mu_safetensors *b)
{
    FUZZ_CHECK(a->tensor_count == b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const struct mu_safetensor *one = &a->tensor[i];
        const struct mu_safetensor *other = mu_safetensors_find(b, one->name);
        FUZZ_CHECK(other && one->rank == other->rank);
        FUZZ_CHECK(one->end - one->begin == other->end - other->begin);
        for (int k = 0; k < one->rank; k++)
            FUZZ_CHECK(one->shape[k] == other->shape[k]);
    }
}

static void check_written(const struct mu_safetensors *tensors)
{
    struct mu_safetensors again;
    struct mu_text text;
    struct mu_safetensor_source *sources = calloc(tensors->tensor_count, sizeof(*sources));
    FUZZ_CHECK(sources);
    mu_text_init(&text);
    size_t data_bytes = 0;
    for (size_t i = 0; i < tensors->tensor_count; i++) {
        const struct mu_safetensor *tensor = &tensors->tensor[i];
        memcpy(sources[i].name, tensor->name, sizeof(tensor->name));
        sources[i].rank = tensor->rank;
        memcpy(sources[i].shape, tensor->shape, sizeof(sources[i].shape));
        data_bytes += tensor->end - tensor->begin;
    }
    mu_safetensors_sort(sources, tensors->tensor_count);
    enum mu_status status = mu_safetensors_header(sources, tensors->tensor_count, NULL, &text);
    FUZZ_CHECK(status == MU_OK && text.bytes % 8 == 0);
    for (size_t i = 0; i < data_bytes; i++)
        mu_text_append(&text, "", 1);
    status = mu_safetensors_parse(&fuzz_log, "again", text.data, text.bytes, &again);
    FUZZ_CHECK(status == MU_OK);
    check_same(tensors, &again);
    mu_safetensors_finish(&again);
    mu_text_finish(&text);
    free(sources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mu_safetensors tensors;
    fuzz_log_init(&fuzz_log);
    if (mu_safetensors_parse(&fuzz_log, "input", data, bytes, &tensors) != MU_OK) {
        FUZZ_CHECK(fuzz_log.first_number == 601);
        return 0;
    }
    check_cover(&tensors, data, bytes);
    if (could_be_ours(&tensors))
        check_written(&tensors);
    mu_safetensors_finish(&tensors);
    return 0;
}
