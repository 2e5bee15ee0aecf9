/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/frame.h"
#include "runtime/base/crc32c.h"
#include <string.h>

#define MU_FRAME_CRC_OFFSET 28

static_assert(MU_FRAME_CRC_OFFSET + 4 == MU_FRAME_HEADER_BYTES, "the crc ends the header");

const char *mu_frame_type_name(int type)
{
#define MU_FRAME_TYPE_NAME(name) [MU_FRAME_##name] = #name,
    static const char *const names[] = {MU_FRAME_TYPE_ROWS(MU_FRAME_TYPE_NAME)};
#undef MU_FRAME_TYPE_NAME
    return type >= 0 && type < MU_FRAME_TYPE_COUNT ? names[type] : "?";
}

static void put(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *in, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static uint32_t checksum(const uint8_t *header, const void *body, size_t body_bytes)
{
    uint32_t crc = mu_crc32c(0, header, MU_FRAME_CRC_OFFSET);
    return body_bytes ? mu_crc32c(crc, body, body_bytes) : crc;
}

void mu_frame_encode(
    const struct mu_frame *frame, const void *body, uint8_t out[MU_FRAME_HEADER_BYTES])
{
    assert(frame->type > MU_FRAME_NONE && frame->type < MU_FRAME_TYPE_COUNT);
    assert(frame->body_bytes <= MU_FRAME_BODY_MAX);
    assert(frame->payload_bytes <= MU_FRAME_PAYLOAD_MAX);
    put(out, MU_FRAME_MAGIC, 4);
    out[4] = MU_PROTOCOL_VERSION;
    out[5] = frame->type;
    put(out + 6, frame->flags, 2);
    put(out + 8, frame->generation, 4);
    put(out + 12, frame->tag, 8);
    put(out + 20, frame->body_bytes, 4);
    put(out + 24, frame->payload_bytes, 4);
    put(out + MU_FRAME_CRC_OFFSET, checksum(out, body, frame->body_bytes), 4);
}

enum mu_status mu_frame_decode(
    const uint8_t header[MU_FRAME_HEADER_BYTES], struct mu_frame *ret_frame)
{
    if (get(header, 4) != MU_FRAME_MAGIC)
        return MU_PROTOCOL;
    struct mu_frame frame = {
        .version = header[4],
        .type = header[5],
        .flags = (uint16_t)get(header + 6, 2),
        .generation = (uint32_t)get(header + 8, 4),
        .tag = get(header + 12, 8),
        .body_bytes = (uint32_t)get(header + 20, 4),
        .payload_bytes = (uint32_t)get(header + 24, 4),
        .crc32c = (uint32_t)get(header + MU_FRAME_CRC_OFFSET, 4),
    };
    ret_frame->version = frame.version;
    if (frame.version != MU_PROTOCOL_VERSION)
        return MU_PROTOCOL;
    if (frame.type == MU_FRAME_NONE || frame.type >= MU_FRAME_TYPE_COUNT)
        return MU_PROTOCOL;
    if (frame.body_bytes > MU_FRAME_BODY_MAX || frame.payload_bytes > MU_FRAME_PAYLOAD_MAX)
        return MU_PROTOCOL;
    *ret_frame = frame;
    return MU_OK;
}

bool mu_frame_check(const uint8_t header[MU_FRAME_HEADER_BYTES], const void *body)
{
    size_t body_bytes = (size_t)get(header + 20, 4);
    return checksum(header, body, body_bytes) == get(header + MU_FRAME_CRC_OFFSET, 4);
}
