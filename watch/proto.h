/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_WATCH_PROTO_H
#define MU_WATCH_PROTO_H

#include "runtime/base/text.h"

/* Writes protobuf's wire format: a field is its number and wire type, then a varint, eight bytes,
 * or a length and bytes. Fields that are zero are left out, as proto3 does. Little-endian. */
void mu_proto_varint(struct mu_text *out, int field, uint64_t value);
void mu_proto_double(struct mu_text *out, int field, double value);
void mu_proto_bytes(struct mu_text *out, int field, const void *data, size_t bytes);
void mu_proto_string(struct mu_text *out, int field, const char *string);
/* A field that is itself a message, or packed: what is written between begin and end. The length is
 * put in front at the end, so nesting needs no second buffer. */
size_t mu_proto_begin(struct mu_text *out, int field);
void mu_proto_end(struct mu_text *out, size_t begun);

#endif
