/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/proto.h"
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats written here are little-endian"
#endif

enum wire_type { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_BYTES = 2 };

#define VARINT_BYTES_MAX 10

static size_t encode_varint(unsigned char out[VARINT_BYTES_MAX], uint64_t value)
{
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        out[bytes++] = (unsigned char)(value | 0x80);
    out[bytes++] = (unsigned char)value;
    return bytes;
}

static void add_varint(struct mu_text *out, uint64_t value)
{
    unsigned char encoded[VARINT_BYTES_MAX];
    mu_text_append(out, (const char *)encoded, encode_varint(encoded, value));
}

static void add_tag(struct mu_text *out, int field, enum wire_type type)
{
    add_varint(out, (uint64_t)field << 3 | (uint64_t)type);
}

void mu_proto_varint(struct mu_text *out, int field, uint64_t value)
{
    if (value == 0)
        return;
    add_tag(out, field, WIRE_VARINT);
    add_varint(out, value);
}

void mu_proto_double(struct mu_text *out, int field, double value)
{
    add_tag(out, field, WIRE_EIGHT);
    mu_text_append(out, (const char *)&value, sizeof(value));
}

void mu_proto_bytes(struct mu_text *out, int field, const void *data, size_t bytes)
{
    add_tag(out, field, WIRE_BYTES);
    add_varint(out, bytes);
    mu_text_append(out, data, bytes);
}

void mu_proto_string(struct mu_text *out, int field, const char *string)
{
    mu_proto_bytes(out, field, string, strlen(string));
}

size_t mu_proto_begin(struct mu_text *out, int field)
{
    add_tag(out, field, WIRE_BYTES);
    return out->bytes;
}

void mu_proto_end(struct mu_text *out, size_t begun)
{
    unsigned char length[VARINT_BYTES_MAX];
    size_t body_bytes = out->bytes - begun;
    size_t length_bytes = encode_varint(length, body_bytes);
    mu_text_append(out, (const char *)length, length_bytes); /* room; its place is in front */
    if (out->failed)
        return;
    memmove(out->data + begun + length_bytes, out->data + begun, body_bytes);
    memcpy(out->data + begun, length, length_bytes);
}
