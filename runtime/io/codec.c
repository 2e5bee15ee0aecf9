/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/codec.h"
#include "runtime/io/frame.h"
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

static int append(void *owner, const char *data, size_t bytes)
{
    struct mu_body *body = owner;
    if (body->failed || bytes > body->capacity - body->bytes) {
        body->failed = true;
        return -1;
    }
    memcpy(body->data + body->bytes, data, bytes);
    body->bytes += bytes;
    return 0;
}

static msgpack_packer packer_for(struct mu_body *body)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, body, append);
    return packer;
}

static void put_text(msgpack_packer *packer, const char *text)
{
    size_t bytes = strlen(text);
    msgpack_pack_str(packer, bytes);
    msgpack_pack_str_body(packer, text, bytes);
}

void mu_body_begin(struct mu_body *body, void *memory, size_t capacity, int fields)
{
    *body = (struct mu_body){.data = memory, .capacity = capacity};
    msgpack_packer packer = packer_for(body);
    msgpack_pack_map(&packer, (size_t)fields);
}

void mu_body_put_int(struct mu_body *body, const char *key, int64_t value)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    msgpack_pack_int64(&packer, value);
}

void mu_body_put_uint(struct mu_body *body, const char *key, uint64_t value)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    msgpack_pack_uint64(&packer, value);
}

void mu_body_put_real(struct mu_body *body, const char *key, double value)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    msgpack_pack_double(&packer, value);
}

void mu_body_put_text(struct mu_body *body, const char *key, const char *value)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    put_text(&packer, value);
}

void mu_body_put_ints(struct mu_body *body, const char *key, const int64_t *values, size_t count)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_int64(&packer, values[i]);
}

void mu_body_put_bytes(struct mu_body *body, const char *key, const void *data, size_t bytes)
{
    msgpack_packer packer = packer_for(body);
    put_text(&packer, key);
    msgpack_pack_bin(&packer, bytes);
    msgpack_pack_bin_body(&packer, data, bytes);
}

/* ---- the scan ---- */

/* What the byte that opens a value says about it. */
struct opening {
    size_t length_bytes; /* of a big-endian count or length that follows */
    size_t fixed_bytes;  /* of data that follow whatever the length says */
    size_t count;        /* known from the byte itself */
    enum { SCALAR, BYTES, ARRAY, MAP, INVALID } kind;
};

static struct opening open_value(uint8_t byte)
{
    if (byte <= 0x7f || byte >= 0xe0)
        return (struct opening){.kind = SCALAR};
    if (byte <= 0x8f)
        return (struct opening){.kind = MAP, .count = byte & 0x0f};
    if (byte <= 0x9f)
        return (struct opening){.kind = ARRAY, .count = byte & 0x0f};
    if (byte <= 0xbf)
        return (struct opening){.kind = BYTES, .count = byte & 0x1f};
    static const struct opening rows[32] = {
        [0x00] = {.kind = SCALAR},                                     /* nil */
        [0x01] = {.kind = INVALID},                                    /* never used */
        [0x02] = {.kind = SCALAR},                                     /* false */
        [0x03] = {.kind = SCALAR},                                     /* true */
        [0x04] = {.kind = BYTES, .length_bytes = 1},                   /* bin 8 */
        [0x05] = {.kind = BYTES, .length_bytes = 2},                   /* bin 16 */
        [0x06] = {.kind = BYTES, .length_bytes = 4},                   /* bin 32 */
        [0x07] = {.kind = BYTES, .length_bytes = 1, .fixed_bytes = 1}, /* ext 8 */
        [0x08] = {.kind = BYTES, .length_bytes = 2, .fixed_bytes = 1}, /* ext 16 */
        [0x09] = {.kind = BYTES, .length_bytes = 4, .fixed_bytes = 1}, /* ext 32 */
        [0x0a] = {.kind = SCALAR, .fixed_bytes = 4},                   /* float 32 */
        [0x0b] = {.kind = SCALAR, .fixed_bytes = 8},                   /* float 64 */
        [0x0c] = {.kind = SCALAR, .fixed_bytes = 1},                   /* uint 8 */
        [0x0d] = {.kind = SCALAR, .fixed_bytes = 2},                   /* uint 16 */
        [0x0e] = {.kind = SCALAR, .fixed_bytes = 4},                   /* uint 32 */
        [0x0f] = {.kind = SCALAR, .fixed_bytes = 8},                   /* uint 64 */
        [0x10] = {.kind = SCALAR, .fixed_bytes = 1},                   /* int 8 */
        [0x11] = {.kind = SCALAR, .fixed_bytes = 2},                   /* int 16 */
        [0x12] = {.kind = SCALAR, .fixed_bytes = 4},                   /* int 32 */
        [0x13] = {.kind = SCALAR, .fixed_bytes = 8},                   /* int 64 */
        [0x14] = {.kind = SCALAR, .fixed_bytes = 2},                   /* fixext 1 */
        [0x15] = {.kind = SCALAR, .fixed_bytes = 3},                   /* fixext 2 */
        [0x16] = {.kind = SCALAR, .fixed_bytes = 5},                   /* fixext 4 */
        [0x17] = {.kind = SCALAR, .fixed_bytes = 9},                   /* fixext 8 */
        [0x18] = {.kind = SCALAR, .fixed_bytes = 17},                  /* fixext 16 */
        [0x19] = {.kind = BYTES, .length_bytes = 1},                   /* str 8 */
        [0x1a] = {.kind = BYTES, .length_bytes = 2},                   /* str 16 */
        [0x1b] = {.kind = BYTES, .length_bytes = 4},                   /* str 32 */
        [0x1c] = {.kind = ARRAY, .length_bytes = 2},                   /* array 16 */
        [0x1d] = {.kind = ARRAY, .length_bytes = 4},                   /* array 32 */
        [0x1e] = {.kind = MAP, .length_bytes = 2},                     /* map 16 */
        [0x1f] = {.kind = MAP, .length_bytes = 4},                     /* map 32 */
    };
    return rows[byte - 0xc0];
}

/* Reads one opening with its length and skips its data; false if that runs past the end. */
static bool step_over(const uint8_t **at, size_t *left, struct opening *ret_opening)
{
    struct opening opening = open_value(**at);
    ++*at;
    --*left;
    if (opening.kind == INVALID || opening.length_bytes > *left)
        return false;
    for (size_t i = 0; i < opening.length_bytes; i++)
        opening.count = opening.count << 8 | (*at)[i];
    *at += opening.length_bytes;
    *left -= opening.length_bytes;
    size_t data_bytes = opening.fixed_bytes + (opening.kind == BYTES ? opening.count : 0);
    if (data_bytes > *left)
        return false;
    *at += data_bytes;
    *left -= data_bytes;
    *ret_opening = opening;
    return true;
}

bool mu_body_scan(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    size_t left = bytes;
    size_t wanted[MU_BODY_DEPTH_MAX + 1]; /* values still to come at each depth */
    int depth = 0;
    wanted[0] = 1;
    while (depth >= 0) {
        if (wanted[depth] == 0) {
            depth--;
            continue;
        }
        wanted[depth]--;
        struct opening opening;
        if (left == 0 || !step_over(&at, &left, &opening))
            return false;
        if (opening.kind != ARRAY && opening.kind != MAP)
            continue;
        size_t children = opening.kind == MAP ? 2 * opening.count : opening.count;
        if (children > left || depth == MU_BODY_DEPTH_MAX)
            return false;
        wanted[++depth] = children;
    }
    return left == 0;
}

/* ---- reading ---- */

struct mu_decoder {
    msgpack_zone zone;
    msgpack_object root;
};

enum mu_status mu_decoder_create(struct mu_decoder **ret_decoder)
{
    struct mu_decoder *decoder = calloc(1, sizeof(*decoder));
    if (!decoder)
        return MU_NO_MEMORY;
    if (!msgpack_zone_init(&decoder->zone, 4096)) {
        free(decoder);
        return MU_NO_MEMORY;
    }
    decoder->root.type = MSGPACK_OBJECT_MAP;
    *ret_decoder = decoder;
    return MU_OK;
}

void mu_decoder_destroy(struct mu_decoder *decoder)
{
    if (!decoder)
        return;
    msgpack_zone_destroy(&decoder->zone);
    free(decoder);
}

static bool same_text(const msgpack_object *a, const msgpack_object *b)
{
    return a->via.str.size == b->via.str.size &&
           memcmp(a->via.str.ptr, b->via.str.ptr, a->via.str.size) == 0;
}

static bool keys_are_sound(const msgpack_object_map *map)
{
    for (uint32_t i = 0; i < map->size; i++) {
        if (map->ptr[i].key.type != MSGPACK_OBJECT_STR)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (same_text(&map->ptr[i].key, &map->ptr[j].key))
                return false;
    }
    return true;
}

#define MU_BODY_KEYS_MAX 64

enum mu_status mu_decoder_read(struct mu_decoder *decoder, const void *data, size_t bytes)
{
    decoder->root = (msgpack_object){.type = MSGPACK_OBJECT_MAP};
    if (bytes == 0)
        return MU_OK;
    if (bytes > MU_FRAME_BODY_MAX || !mu_body_scan(data, bytes))
        return MU_PROTOCOL;
    msgpack_zone_clear(&decoder->zone);
    msgpack_object root;
    size_t offset = 0;
    if (msgpack_unpack(data, bytes, &offset, &decoder->zone, &root) != MSGPACK_UNPACK_SUCCESS)
        return MU_PROTOCOL;
    if (root.type != MSGPACK_OBJECT_MAP || root.via.map.size > MU_BODY_KEYS_MAX ||
        !keys_are_sound(&root.via.map))
        return MU_PROTOCOL;
    decoder->root = root;
    return MU_OK;
}

static const msgpack_object *find(const struct mu_decoder *decoder, const char *key)
{
    const msgpack_object_map *map = &decoder->root.via.map;
    size_t bytes = strlen(key);
    for (uint32_t i = 0; i < map->size; i++)
        if (map->ptr[i].key.via.str.size == bytes &&
            memcmp(map->ptr[i].key.via.str.ptr, key, bytes) == 0)
            return &map->ptr[i].val;
    return NULL;
}

static bool as_int(const msgpack_object *object, int64_t *ret_value)
{
    if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *ret_value = object->via.i64;
    else if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        *ret_value = (int64_t)object->via.u64;
    else
        return false;
    return true;
}

bool mu_decoder_int(
    struct mu_decoder *decoder, const char *key, int64_t min, int64_t max, int64_t *ret_value)
{
    const msgpack_object *object = find(decoder, key);
    int64_t value;
    if (!object || !as_int(object, &value) || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

bool mu_decoder_uint(struct mu_decoder *decoder, const char *key, uint64_t *ret_value)
{
    const msgpack_object *object = find(decoder, key);
    if (!object || object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    *ret_value = object->via.u64;
    return true;
}

bool mu_decoder_real(struct mu_decoder *decoder, const char *key, double *ret_value)
{
    const msgpack_object *object = find(decoder, key);
    if (!object)
        return false;
    if (object->type != MSGPACK_OBJECT_FLOAT32 && object->type != MSGPACK_OBJECT_FLOAT64)
        return false;
    *ret_value = object->via.f64;
    return true;
}

bool mu_decoder_text(struct mu_decoder *decoder, const char *key, char *out, size_t out_bytes)
{
    const msgpack_object *object = find(decoder, key);
    if (!object || object->type != MSGPACK_OBJECT_STR || object->via.str.size >= out_bytes)
        return false;
    if (memchr(object->via.str.ptr, 0, object->via.str.size))
        return false;
    memcpy(out, object->via.str.ptr, object->via.str.size);
    out[object->via.str.size] = '\0';
    return true;
}

bool mu_decoder_ints(
    struct mu_decoder *decoder, const char *key, int64_t *out, size_t most, size_t *ret_count)
{
    const msgpack_object *object = find(decoder, key);
    if (!object || object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size > most)
        return false;
    for (uint32_t i = 0; i < object->via.array.size; i++)
        if (!as_int(&object->via.array.ptr[i], &out[i]))
            return false;
    *ret_count = object->via.array.size;
    return true;
}

bool mu_decoder_bytes(struct mu_decoder *decoder, const char *key, void *out, size_t bytes)
{
    const msgpack_object *object = find(decoder, key);
    if (!object || object->type != MSGPACK_OBJECT_BIN || object->via.bin.size != bytes)
        return false;
    memcpy(out, object->via.bin.ptr, bytes);
    return true;
}
