/* SPDX-License-Identifier: Apache-2.0 */
#include "data/safetensors.h"

#include "runtime/base/json.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define RANK_MAX 8
#define METADATA "__metadata__"

static_assert(MU_SAFETENSORS_HEADER_MAX <= MU_JSON_BYTES_MAX, "the JSON reader takes every header");

static const struct dtype {
    const char *name;
    unsigned bits;
} dtypes[] = {
    {"U64", 64},
    {"I64", 64},
    {"F64", 64},
    {"C64", 64},
    {"F32", 32},
    {"U32", 32},
    {"I32", 32},
    {"BF16", 16},
    {"F16", 16},
    {"U16", 16},
    {"I16", 16},
    {"F8_E5M2FNUZ", 8},
    {"F8_E4M3FNUZ", 8},
    {"F8_E8M0", 8},
    {"F8_E4M3", 8},
    {"F8_E5M2", 8},
    {"I8", 8},
    {"U8", 8},
    {"F6_E3M2", 6},
    {"F6_E2M3", 6},
    {"F4", 4},
    {"BOOL", 8},
};

/* The header while it is checked. */
struct check {
    struct mu_log *log;
    const char *source;
    size_t data_begin; /* bytes of the file before the tensors' data */
    size_t data_bytes;
};

__attribute__((format(printf, 3, 4))) static enum mu_status bad_tensor(
    const struct check *check, const char *name, const char *format, ...)
{
    char why[256];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof(why), format, list);
    va_end(list);
    return mu_fail(check->log, MU_E0601, NULL, "%s: tensor `%.*s` %s", check->source,
        2 * MU_NAME_MAX, name, why);
}

static bool is_natural(const mu_json_value *value)
{
    return mu_json_type(value) == MU_JSON_INTEGER && mu_json_integer(value) >= 0;
}

static bool is_naturals(const mu_json_value *value)
{
    if (!value || mu_json_type(value) != MU_JSON_ARRAY)
        return false;
    for (size_t i = 0; i < mu_json_count(value); i++)
        if (!is_natural(mu_json_element(value, i)))
            return false;
    return true;
}

static enum mu_status read_dtype(const struct check *check, const mu_json_value *value,
    struct mu_safetensor *tensor, unsigned *ret_bits)
{
    if (!value || mu_json_type(value) != MU_JSON_STRING)
        return bad_tensor(check, tensor->name, "has no `dtype`");
    for (size_t i = 0; i < MU_COUNT_OF(dtypes); i++) {
        if (strcmp(dtypes[i].name, mu_json_string(value)) != 0)
            continue;
        mu_text_copy(tensor->dtype, sizeof(tensor->dtype), dtypes[i].name);
        *ret_bits = dtypes[i].bits;
        return MU_OK;
    }
    return bad_tensor(check, tensor->name, "has the unknown dtype `%.20s`", mu_json_string(value));
}

static enum mu_status read_shape(const struct check *check, const mu_json_value *value,
    struct mu_safetensor *tensor, size_t *ret_count)
{
    if (!is_naturals(value))
        return bad_tensor(check, tensor->name, "needs a `shape` of numbers from 0");
    if (mu_json_count(value) > RANK_MAX)
        return bad_tensor(check, tensor->name, "has %zu dimensions, more than %d",
            mu_json_count(value), RANK_MAX);
    tensor->rank = (int)mu_json_count(value);
    *ret_count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        tensor->shape[i] = mu_json_integer(mu_json_element(value, (size_t)i));
        if (__builtin_mul_overflow(*ret_count, (size_t)tensor->shape[i], ret_count))
            return bad_tensor(check, tensor->name, "has a shape that overflows");
    }
    return MU_OK;
}

static enum mu_status read_offsets(
    const struct check *check, const mu_json_value *value, struct mu_safetensor *tensor)
{
    if (!is_naturals(value) || mu_json_count(value) != 2)
        return bad_tensor(check, tensor->name, "needs two `data_offsets`, numbers from 0");
    size_t begin = (size_t)mu_json_integer(mu_json_element(value, 0));
    size_t end = (size_t)mu_json_integer(mu_json_element(value, 1));
    if (begin > end)
        return bad_tensor(check, tensor->name, "ends at %zu, before its begin at %zu", end, begin);
    if (end > check->data_bytes)
        return bad_tensor(check, tensor->name, "ends at %zu, but there are only %zu bytes of data",
            end, check->data_bytes);
    tensor->begin = check->data_begin + begin;
    tensor->end = check->data_begin + end;
    return MU_OK;
}

static enum mu_status read_tensor(const struct check *check, const char *name,
    const mu_json_value *value, struct mu_safetensor *tensor)
{
    unsigned bits = 0;
    size_t count = 0, bit_count;
    if (strlen(name) >= sizeof(tensor->name))
        return bad_tensor(check, name, "has a name of over %zu bytes", sizeof(tensor->name) - 1);
    mu_text_copy(tensor->name, sizeof(tensor->name), name);
    if (mu_json_type(value) != MU_JSON_OBJECT)
        return bad_tensor(check, name, "is not described by an object");
    MU_TRY(read_dtype(check, mu_json_member(value, "dtype"), tensor, &bits));
    MU_TRY(read_shape(check, mu_json_member(value, "shape"), tensor, &count));
    MU_TRY(read_offsets(check, mu_json_member(value, "data_offsets"), tensor));
    if (mu_json_count(value) != 3)
        return bad_tensor(check, name, "has keys besides dtype, shape and data_offsets");
    if (__builtin_mul_overflow(count, (size_t)bits, &bit_count))
        return bad_tensor(check, name, "has a shape that overflows");
    if (bit_count % 8 != 0)
        return bad_tensor(check, name, "does not end at a whole byte");
    if (bit_count / 8 != tensor->end - tensor->begin)
        return bad_tensor(check, name, "has %zu bytes of data, but its shape needs %zu",
            tensor->end - tensor->begin, bit_count / 8);
    return MU_OK;
}

static enum mu_status check_metadata(const struct check *check, const mu_json_value *value)
{
    bool good = mu_json_type(value) == MU_JSON_OBJECT;
    for (size_t i = 0; good && i < mu_json_count(value); i++)
        good = mu_json_type(mu_json_member_at(value, i)) == MU_JSON_STRING;
    return good ? MU_OK
                : mu_fail(check->log, MU_E0601, NULL, "%s: %s is not an object of strings",
                      check->source, METADATA);
}

static int compare_offsets(const void *a_void, const void *b_void)
{
    const struct mu_safetensor *a = a_void, *b = b_void;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static enum mu_status check_cover(const struct check *check, const struct mu_safetensors *tensors)
{
    size_t at = check->data_begin;
    for (size_t i = 0; i < tensors->tensor_count; i++) {
        const struct mu_safetensor *tensor = &tensors->tensor[i];
        if (tensor->begin < at)
            return bad_tensor(check, tensor->name, "overlaps `%s`", tensors->tensor[i - 1].name);
        if (tensor->begin > at)
            return bad_tensor(
                check, tensor->name, "begins after a hole of %zu bytes", tensor->begin - at);
        at = tensor->end;
    }
    size_t rest = check->data_begin + check->data_bytes - at;
    return rest == 0 ? MU_OK
                     : mu_fail(check->log, MU_E0601, NULL, "%s: %zu bytes belong to no tensor",
                           check->source, rest);
}

static enum mu_status read_tensors(
    const struct check *check, const mu_json_value *root, struct mu_safetensors *tensors)
{
    for (size_t i = 0; i < mu_json_count(root); i++) {
        const char *name = mu_json_key(root, i);
        const mu_json_value *value = mu_json_member_at(root, i);
        if (strcmp(name, METADATA) == 0) {
            MU_TRY(check_metadata(check, value));
            continue;
        }
        MU_TRY(read_tensor(check, name, value, &tensors->tensor[tensors->tensor_count]));
        tensors->tensor_count++;
    }
    qsort(tensors->tensor, tensors->tensor_count, sizeof(*tensors->tensor), compare_offsets);
    return check_cover(check, tensors);
}

static enum mu_status read_header(
    const struct check *check, const struct mu_json *json, struct mu_safetensors *ret_tensors)
{
    const mu_json_value *root = mu_json_root(json);
    if (mu_json_type(root) != MU_JSON_OBJECT)
        return mu_fail(
            check->log, MU_E0601, NULL, "%s: the header is not an object", check->source);
    size_t count = mu_json_count(root);
    if (count > MU_SAFETENSORS_TENSORS_MAX)
        return mu_fail(check->log, MU_E0601, NULL, "%s: %zu tensors, more than %d", check->source,
            count, MU_SAFETENSORS_TENSORS_MAX);
    struct mu_safetensors tensors = {.tensor = calloc(count + 1, sizeof(*tensors.tensor))};
    if (!tensors.tensor)
        return mu_fail(check->log, MU_E0801, NULL, "no memory to read %s", check->source);
    enum mu_status status = read_tensors(check, root, &tensors);
    if (status != MU_OK) {
        mu_safetensors_finish(&tensors);
        return status;
    }
    *ret_tensors = tensors;
    return MU_OK;
}

static uint64_t little_endian(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

enum mu_status mu_safetensors_parse(struct mu_log *log, const char *source, const void *file,
    size_t bytes, struct mu_safetensors *ret_tensors)
{
    const uint8_t *at = file;
    if (bytes < LENGTH_BYTES)
        return mu_fail(log, MU_E0601, NULL, "%s is cut off: it has %zu bytes", source, bytes);
    uint64_t header_bytes = little_endian(at);
    if (header_bytes > MU_SAFETENSORS_HEADER_MAX)
        return mu_fail(log, MU_E0601, NULL, "%s: a header of %llu bytes, more than %d", source,
            (unsigned long long)header_bytes, MU_SAFETENSORS_HEADER_MAX);
    if (header_bytes > bytes - LENGTH_BYTES)
        return mu_fail(log, MU_E0601, NULL, "%s is cut off in its header", source);
    const char *header = (const char *)at + LENGTH_BYTES;
    if (header_bytes == 0 || header[0] != '{')
        return mu_fail(log, MU_E0601, NULL, "%s: the header does not begin with {", source);
    const struct check check = {
        .log = log,
        .source = source,
        .data_begin = LENGTH_BYTES + (size_t)header_bytes,
        .data_bytes = bytes - LENGTH_BYTES - (size_t)header_bytes,
    };
    struct mu_json *json;
    MU_TRY(mu_json_parse(log, MU_E0601, source, header, (size_t)header_bytes, &json));
    enum mu_status status = read_header(&check, json, ret_tensors);
    mu_json_destroy(json);
    return status;
}

void mu_safetensors_finish(struct mu_safetensors *tensors)
{
    free(tensors->tensor);
    *tensors = (struct mu_safetensors){0};
}

const struct mu_safetensor *mu_safetensors_find(
    const struct mu_safetensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->tensor_count; i++)
        if (strcmp(tensors->tensor[i].name, name) == 0)
            return &tensors->tensor[i];
    return NULL;
}
