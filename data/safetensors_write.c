/* SPDX-License-Identifier: Apache-2.0 */
#include "data/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define PAD_BYTES 8 /* the data begin at a multiple of this */

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [MU_SAFETENSORS_F32] = {"F32", 4},
    [MU_SAFETENSORS_I64] = {"I64", 8},
};

size_t mu_safetensors_source_bytes(const struct mu_safetensor_source *source)
{
    size_t bytes = dtypes[source->dtype].bytes;
    for (int i = 0; i < source->rank; i++) {
        assert(source->shape[i] >= 0);
        bytes *= (size_t)source->shape[i];
    }
    return bytes;
}

/* The format asks for the widest dtype first, then names: so each lies where it is aligned. */
static int compare_sources(const void *a_void, const void *b_void)
{
    const struct mu_safetensor_source *a = a_void, *b = b_void;
    size_t bytes_a = dtypes[a->dtype].bytes, bytes_b = dtypes[b->dtype].bytes;
    if (bytes_a != bytes_b)
        return bytes_a > bytes_b ? -1 : 1;
    return strcmp(a->name, b->name);
}

void mu_safetensors_sort(struct mu_safetensor_source *sources, size_t count)
{
    if (count > 1)
        qsort(sources, count, sizeof(*sources), compare_sources);
}

static void add_metadata(const char *const metadata[], struct mu_text *out)
{
    mu_text_add(out, "\"__metadata__\":{");
    for (size_t i = 0; metadata[i]; i += 2) {
        assert(metadata[i + 1]);
        mu_text_add(out, "%s", i > 0 ? "," : "");
        mu_text_add_json_string(out, metadata[i]);
        mu_text_add(out, ":");
        mu_text_add_json_string(out, metadata[i + 1]);
    }
    mu_text_add(out, "}");
}

/* Returns where the next tensor's data begin. */
static size_t add_tensor(
    const struct mu_safetensor_source *source, size_t begin, struct mu_text *out)
{
    size_t bytes = mu_safetensors_source_bytes(source);
    mu_text_add_json_string(out, source->name);
    mu_text_add(out, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[source->dtype].name);
    for (int i = 0; i < source->rank; i++)
        mu_text_add(out, "%s%" PRId64, i > 0 ? "," : "", source->shape[i]);
    mu_text_add(out, "],\"data_offsets\":[%zu,%zu]}", begin, begin + bytes);
    return begin + bytes;
}

static void store_length(char *at, size_t value)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        at[i] = (char)(value >> (8 * i) & 0xff);
}

enum mu_status mu_safetensors_header(const struct mu_safetensor_source *sources, size_t count,
    const char *const metadata[], struct mu_text *out)
{
    static const char zeros[LENGTH_BYTES] = {0};
    size_t start = out->bytes, begin = 0;
    mu_text_append(out, zeros, LENGTH_BYTES); /* the length, once it is known */
    mu_text_add(out, "{");
    if (metadata)
        add_metadata(metadata, out);
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || compare_sources(&sources[i - 1], &sources[i]) < 0);
        mu_text_add(out, "%s", i > 0 || metadata ? "," : "");
        begin = add_tensor(&sources[i], begin, out);
    }
    mu_text_add(out, "}");
    while (!out->failed && (out->bytes - start) % PAD_BYTES != 0)
        mu_text_append(out, " ", 1);
    if (out->failed)
        return MU_NO_MEMORY;
    size_t header_bytes = out->bytes - start - LENGTH_BYTES;
    assert(header_bytes <= MU_SAFETENSORS_HEADER_MAX);
    store_length(out->data + start, header_bytes);
    return MU_OK;
}
