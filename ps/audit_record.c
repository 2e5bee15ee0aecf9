/* SPDX-License-Identifier: Apache-2.0 */
#include "ps/audit_record.h"
#include "ps/ps_bodies.h"
#include "runtime/base/crc32c.h"
#include <string.h>

/* Where each field lies in a head. */
enum {
    AT_MAGIC = 0,
    AT_KIND = 4,
    AT_VERDICT = 5,
    AT_FLAW = 6,
    AT_FLAGS = 7,
    AT_INDEX = 8,
    AT_PAYLOAD = 16,
    AT_WORKER = 24,
    AT_AVERAGE = 28,
    AT_SEQUENCE = 32,
    AT_SEEN = 40,
    AT_VERSION = 48,
    AT_STALENESS = 56,
    AT_CLOCK = 64,
    AT_SCALE = 72,
    AT_WEIGHT = 80,
    AT_RATE = 88,
    AT_PAYLOAD_CRC = 96,
    AT_HEAD_CRC = 100,
};
static_assert(AT_HEAD_CRC + 4 == MU_AUDIT_HEAD_BYTES, "the head ends with its checksum");

#define MAGIC UINT32_C(0x5541554d) /* "MUAU" */
#define FLAG_HAS_SEEN 1u
#define FLAG_CORRECTS_ROWS 2u

#define KIND_TEXT(name, text) text,
static const char *const kind_names[] = {MU_AUDIT_KIND_ROWS(KIND_TEXT)};

const char *mu_audit_kind_name(enum mu_audit_kind kind)
{
    assert(kind < MU_AUDIT_KIND_COUNT);
    return kind_names[kind];
}

/* ---- numbers ---- */

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void put_real(uint8_t *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put(at, bits, 8);
}

static double get_real(const uint8_t *at)
{
    double value;
    const uint64_t bits = get(at, 8);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* ---- records ---- */

void mu_audit_record_write(uint8_t out[MU_AUDIT_HEAD_BYTES], const struct mu_audit_record *record)
{
    put(out + AT_MAGIC, MAGIC, 4);
    put(out + AT_KIND, record->kind, 1);
    put(out + AT_VERDICT, record->verdict, 1);
    put(out + AT_FLAW, (uint64_t)record->flaw, 1);
    put(out + AT_FLAGS,
        (record->has_seen ? FLAG_HAS_SEEN : 0) | (record->corrects_rows ? FLAG_CORRECTS_ROWS : 0),
        1);
    put(out + AT_INDEX, record->index, 8);
    put(out + AT_PAYLOAD, record->payload_bytes, 8);
    put(out + AT_WORKER, (uint64_t)record->worker, 4);
    put(out + AT_AVERAGE, (uint64_t)record->average, 4);
    put(out + AT_SEQUENCE, record->sequence, 8);
    put(out + AT_SEEN, (uint64_t)record->seen, 8);
    put(out + AT_VERSION, (uint64_t)record->version, 8);
    put(out + AT_STALENESS, (uint64_t)record->staleness, 8);
    put(out + AT_CLOCK, (uint64_t)record->clock, 8);
    put_real(out + AT_SCALE, record->scale);
    put_real(out + AT_WEIGHT, record->weight);
    put_real(out + AT_RATE, record->learning_rate);
    put(out + AT_PAYLOAD_CRC, 0, 4);
    put(out + AT_HEAD_CRC, 0, 4);
}

size_t mu_audit_record_bytes(const uint8_t head[MU_AUDIT_HEAD_BYTES])
{
    return (size_t)get(head + AT_PAYLOAD, 8);
}

void mu_audit_record_seal(uint8_t head[MU_AUDIT_HEAD_BYTES], const void *payload, size_t bytes)
{
    assert(get(head + AT_PAYLOAD, 8) == bytes);
    put(head + AT_PAYLOAD_CRC, mu_crc32c(0, payload, bytes), 4);
    put(head + AT_HEAD_CRC, mu_crc32c(0, head, AT_HEAD_CRC), 4);
}

bool mu_audit_record_fits(
    const uint8_t head[MU_AUDIT_HEAD_BYTES], const void *payload, size_t bytes)
{
    return get(head + AT_PAYLOAD_CRC, 4) == mu_crc32c(0, payload, bytes);
}

static bool is_sound(const struct mu_audit_record *record)
{
    return record->kind < MU_AUDIT_KIND_COUNT && record->verdict < MU_VERDICT_COUNT &&
           record->flaw < MU_PS_FLAW_COUNT && record->worker >= 0 &&
           record->worker < MU_PS_REPLICAS_MAX && record->average >= 0 && record->version >= 0;
}

const char *mu_audit_record_read(
    const uint8_t head[MU_AUDIT_HEAD_BYTES], struct mu_audit_record *ret_record)
{
    if (get(head + AT_MAGIC, 4) != MAGIC)
        return "no record begins here";
    if (get(head + AT_HEAD_CRC, 4) != mu_crc32c(0, head, AT_HEAD_CRC))
        return "the checksum of the record's head does not match";
    *ret_record = (struct mu_audit_record){
        .kind = (enum mu_audit_kind)head[AT_KIND],
        .verdict = (enum mu_verdict)head[AT_VERDICT],
        .flaw = head[AT_FLAW],
        .has_seen = head[AT_FLAGS] & FLAG_HAS_SEEN,
        .corrects_rows = head[AT_FLAGS] & FLAG_CORRECTS_ROWS,
        .index = get(head + AT_INDEX, 8),
        .payload_bytes = get(head + AT_PAYLOAD, 8),
        .worker = (int)(int32_t)get(head + AT_WORKER, 4),
        .average = (int)(int32_t)get(head + AT_AVERAGE, 4),
        .sequence = get(head + AT_SEQUENCE, 8),
        .seen = (int64_t)get(head + AT_SEEN, 8),
        .version = (int64_t)get(head + AT_VERSION, 8),
        .staleness = (int64_t)get(head + AT_STALENESS, 8),
        .clock = (int64_t)get(head + AT_CLOCK, 8),
        .scale = get_real(head + AT_SCALE),
        .weight = get_real(head + AT_WEIGHT),
        .learning_rate = get_real(head + AT_RATE),
    };
    return is_sound(ret_record) ? NULL : "the record's head has a field that is out of range";
}
